// Package output keeps what a task wrote: the files that the task itself
// appends to, the cap that holds them small, and exact reading while both go on.
//
// A capped file keeps its first and its newest bytes; the middle is taken by
// punching a hole, so that byte offsets never change and the writer notices
// nothing. The law between the two sides is an order: a gap is told before it
// is punched, and a reader asks for the gap after it has read. What it then
// shows as data was data. Neither side takes a lock.
//
// The files are root's, and the task only appends to them. At its end they are
// closed to writing: what is kept then is what was recorded, whoever still has
// them open. See keep.
package output

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The files of a task's directory that hold output.
const (
	Stdout = "stdout"
	Stderr = "stderr"
)

// Remove deletes a task's directory. The output goes before what is told of
// its gaps: a reader that still holds a file open never takes a hole for data.
func Remove(dir string) error {
	for _, name := range []string{Stdout, Stderr} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove a task's output: %w", err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("cannot remove a task's output: %w", err)
	}
	return nil
}

// Info is what there is of one file.
type Info struct {
	Size      int64     // bytes appended, those of the gap among them
	Gap       *[2]int64 // [from, to): bytes that the cap took; nil: none
	Rewritten bool      // the task itself cut or rewrote the file
}

// Stat says what there is of name, Stdout or Stderr, in the task's directory
// dir. Once the output was removed the error is fs.ErrNotExist.
func Stat(dir, name string) (Info, error) {
	reader, err := Open(dir, name)
	if err != nil {
		return Info{}, err
	}
	defer reader.Close()
	return reader.Info()
}

func checkName(name string) error {
	if name != Stdout && name != Stderr {
		return fmt.Errorf("cannot read output %q: a task has %s and %s", name, Stdout, Stderr)
	}
	return nil
}
