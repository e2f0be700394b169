package site

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"deputy/internal/monitor/durable"
)

// A journal that goes on where it was written is never taken for a restored one, and one
// that was put back from a copy always is: the words lie in the file, and which file it
// is does not copy.

// place is what a small file in the journal's folder says of itself: which file
// it is. Whoever copies the folder makes another file with the same words, and
// whoever copies the segments alone makes none: so a journal that was restored
// from a back-up, and may be older than what happened, is known as one. An
// administrator says the same by deleting the file.
type place struct {
	Inode uint64 `json:"inode"`
	Born  int64  `json:"born"` // btime, ns since 1970 (statx(2)); 0 where the file system has none
}

func (p Paths) place() string { return filepath.Join(p.Journal(), "place") }

// Restored says why the journal is not where it was written, but a copy of what was
// there; "" if it is.
func (p Paths) Restored() (why string, err error) {
	path := p.place()
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

// NotePlace says from now on that the journal is where it was written. The file is there
// whole, or as before.
func (p Paths) NotePlace() error {
	path := p.place()
	made := path + ".new"
	_ = os.Remove(made) // what a crash left
	err := durable.WriteFile(made, nil)
	if err == nil {
		var here place
		if here, err = placeOf(made); err == nil {
			text, _ := json.Marshal(here) // numbers alone
			err = errors.Join(durable.WriteFile(made, append(text, '\n')), os.Rename(made, path), durable.Dir(filepath.Dir(path)))
		}
	}
	if err != nil {
		return fmt.Errorf("cannot note where the journal is: %w", err)
	}
	return nil
}
