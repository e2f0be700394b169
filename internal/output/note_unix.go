//go:build unix

package output

import (
	"errors"
	"io/fs"
	"os"
)

const newNoteSuffix = ".gap.new"

// readText reads the note's text of the file at path. It is that of a symbolic
// link, NAME.gap -> "FROM TO" or "FROM TO rewritten". A link appears whole (symlink(2)) and is replaced whole
// (rename(2)); its text lies in metadata, so that a journalling file system
// cannot keep the punch and lose the note in a crash, and a full disk has room
// for it.
func readText(path string) (string, error) { return os.Readlink(path + noteSuffix) }

func writeText(path, text string) error {
	fresh := path + newNoteSuffix
	err := os.Symlink(text, fresh)
	if errors.Is(err, fs.ErrExist) { // left by one that was killed here
		os.Remove(fresh)
		err = os.Symlink(text, fresh)
	}
	if err != nil {
		return err
	}
	return os.Rename(fresh, path+noteSuffix)
}
