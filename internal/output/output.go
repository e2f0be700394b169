// Package output keeps what a task wrote: the files that the task itself
// appends to, the cap that holds them small, and exact reading while both go on.
//
// A capped file keeps its first and its newest bytes; the middle is taken by
// punching a hole, so that byte offsets never change and the writer notices
// nothing. The law between the two sides is an order: a gap is told before it
// is punched, and a reader asks for the gap after it has read. What it then
// shows as data was data. Neither side takes a lock.
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

const (
	dirMode  = 0o750
	fileMode = 0o640
)

// Create makes a task's directory, unless it exists, and its two files, open
// for appending. The files belong to uid, the task's user, who can so open
// /dev/stderr anew; the group gid reads them. With oneFile both results append
// to stdout and stderr stays empty. The caller closes both.
func Create(dir string, uid, gid int, oneFile bool) (stdout, stderr *os.File, err error) {
	if err := makeDir(dir, gid); err != nil {
		return nil, nil, fmt.Errorf("cannot make a task's directory: %w", err)
	}
	stdout, err = create(filepath.Join(dir, Stdout), uid, gid)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a task's stdout: %w", err)
	}
	stderr, err = create(filepath.Join(dir, Stderr), uid, gid)
	if err == nil && oneFile {
		stderr.Close()
		stderr, err = create(filepath.Join(dir, Stdout), uid, gid)
	}
	if err != nil {
		stdout.Close()
		return nil, nil, fmt.Errorf("cannot make a task's stderr: %w", err)
	}
	return stdout, stderr, nil
}

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
	if err := checkName(name); err != nil {
		return Info{}, err
	}
	path := filepath.Join(dir, name)
	// The gap first: it never reaches beyond a size that is read later, unless
	// the task cuts the file.
	note, err := readNote(path)
	if err != nil {
		return Info{}, err
	}
	stat, err := os.Lstat(path)
	if err != nil {
		return Info{}, fmt.Errorf("cannot see output: %w", err)
	}
	return note.info(stat.Size()), nil
}

func checkName(name string) error {
	if name != Stdout && name != Stderr {
		return fmt.Errorf("cannot read output %q: a task has %s and %s", name, Stdout, Stderr)
	}
	return nil
}
