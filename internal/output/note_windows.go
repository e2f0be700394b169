package output

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// noteSize is the length of a note's file, in bytes: less than a sector, so
// that it is written whole or not at all.
const noteSize = 64

// readText reads the note's text of the file at path: a file of one width, which is written in place.
// An open file could not be replaced by a rename here, and a symbolic link
// takes a privilege.
func readText(path string) (string, error) {
	text, err := os.ReadFile(path + noteSuffix)
	if err == nil && len(text) == 0 { // being written for the first time; no hole is made before it is
		err = fs.ErrNotExist
	}
	return strings.TrimSpace(string(text)), err
}

func writeText(path, text string) error {
	f, err := os.OpenFile(path+noteSuffix, os.O_WRONLY|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(fmt.Appendf(nil, "%-*s\n", noteSize-1, text), 0)
	return errors.Join(err, f.Sync(), f.Close()) // on the disk before the hole
}
