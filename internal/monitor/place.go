package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// place is what a small file in the journal's folder says of itself: which file
// it is. Whoever copies the folder makes another file with the same words, and
// whoever copies the segments alone makes none: so a journal that was restored
// from a back-up, and may be older than what happened, is known as one. An
// administrator says the same by deleting the file.
type place struct {
	Inode uint64 `json:"inode"`
	Born  int64  `json:"born"` // btime, ns since 1970 (statx(2)); 0 where the file system has none
}

// checkPlace says why the journal is not where it was written; "" if it is.
func checkPlace(path string) (why string, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "there is no " + path, nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot tell whether the journal was restored: %w", err)
	}
	var said place
	here, err := placeOf(path)
	if err != nil {
		return "", fmt.Errorf("cannot tell whether the journal was restored: %w", err)
	}
	if json.Unmarshal(text, &said) != nil || said != here {
		return path + " is a copy", nil
	}
	return "", nil
}

// writePlace makes the file anew; it is there whole, or as before.
func writePlace(path string) error {
	made := path + ".new"
	_ = os.Remove(made) // what a crash left
	err := writeSynced(made, nil)
	if err == nil {
		var here place
		if here, err = placeOf(made); err == nil {
			text, _ := json.Marshal(here) // numbers alone
			err = errors.Join(writeSynced(made, append(text, '\n')), os.Rename(made, path), syncDir(filepath.Dir(path)))
		}
	}
	if err != nil {
		return fmt.Errorf("cannot note where the journal is: %w", err)
	}
	return nil
}
