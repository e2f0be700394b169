package output

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// GapError says that the next bytes are gone: the cap took [From, To).
type GapError struct{ From, To int64 }

func (e *GapError) Error() string {
	return fmt.Sprintf("cannot read output: bytes %d to %d are gone, the cap took them; read on at %d", e.From, e.To-1, e.To)
}

// ErrRemoved says that the output was deleted, as [storage] orders.
var ErrRemoved = fmt.Errorf("cannot read output: it was removed: %w", fs.ErrNotExist)

// Reader reads one file of a task, also while it is written and capped. It is
// an io.ReaderAt and may be used by several goroutines.
type Reader struct {
	path string
	file *os.File
}

// Open opens name, Stdout or Stderr, in the task's directory dir.
func Open(dir, name string) (*Reader, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name)
	file, err := openToRead(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read output: %w", err)
	}
	return &Reader{path: path, file: file}, nil
}

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }

// Info says what there is now.
func (r *Reader) Info() (Info, error) {
	note, err := r.note()
	if err != nil {
		return Info{}, err
	}
	stat, err := r.file.Stat()
	if err != nil {
		return Info{}, fmt.Errorf("cannot see output: %w", err)
	}
	return note.info(stat.Size()), nil
}

// ReadAt reads len(p) bytes from offset off. When it returns fewer the error
// says why: a *GapError where bytes are gone, none read if off lies in the gap;
// io.EOF where no more have been written yet; ErrRemoved. What it returns is
// what the task wrote there.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	n, readErr := r.file.ReadAt(p, off)
	// Only now: a gap is told before it is punched, so that bytes read outside
	// what is told by now were read before any punch.
	note, err := r.note()
	if err != nil {
		return 0, err
	}
	if off < note.to && off+int64(n) > note.from {
		return int(max(note.from-off, 0)), &GapError{From: note.from, To: note.to}
	}
	if readErr != nil && !errors.Is(readErr, io.EOF) {
		readErr = fmt.Errorf("cannot read output: %w", readErr)
	}
	return n, readErr
}

// note reads the file's note. Remove deletes the file first, so where the file
// still stands a missing note means that there is no gap.
func (r *Reader) note() (note, error) {
	n, err := readNote(r.path)
	if err != nil || n != (note{}) {
		return n, err
	}
	if _, err := os.Lstat(r.path); errors.Is(err, fs.ErrNotExist) {
		return n, ErrRemoved
	}
	return n, nil
}
