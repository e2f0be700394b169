package output

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
)

// GapError says that the next bytes are gone: the cap took [From, To).
type GapError struct{ From, To int64 }

func (e *GapError) Error() string {
	return fmt.Sprintf("cannot read output: bytes %d to %d are gone, the cap took them; read on at %d", e.From, e.To-1, e.To)
}

// ErrRemoved says that the output was deleted, as [storage] orders.
var ErrRemoved = fmt.Errorf("cannot read output: it was removed: %w", fs.ErrNotExist)

// ErrRewritten says that the task cut its file, below what was read of it.
var ErrRewritten = errors.New("cannot read output on: the task cut the file; read it from the start")

// Reader reads one file of a task, also while it is written and capped. It is
// an io.ReaderAt and may be used by several goroutines.
type Reader struct {
	path string
	file *os.File
	base atomic.Int64 // where in the file the output begins; unknown while it is being made
	cut  atomic.Bool  // the task cut the file
}

// Open opens name, Stdout or Stderr, in the task's directory dir.
func Open(dir, name string) (*Reader, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name)
	file, st, err := openToRead(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read output: %w", err)
	}
	r := &Reader{path: path, file: file}
	r.base.Store(unknown)
	r.settle(st)
	return r, nil
}

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }

// Info says what there is now.
func (r *Reader) Info() (Info, error) {
	note, err := r.note()
	if err != nil {
		return Info{}, err
	}
	size, err := r.size()
	if err != nil {
		return Info{}, err
	}
	info := note.info(size)
	info.Rewritten = info.Rewritten || r.cut.Load()
	return info, nil
}

// size is how long the output is now.
func (r *Reader) size() (int64, error) {
	st, err := statusOf(r.file)
	if err != nil {
		return 0, fmt.Errorf("cannot see output: %w", err)
	}
	return max(st.size-max(r.settle(st), 0), 0), nil
}

// settle finds where the output begins, of a file that is st now. An output that
// began behind a lead begins where the file does once that was cut.
func (r *Reader) settle(st status) int64 {
	before := r.base.Load()
	if before == 0 {
		return 0
	}
	base, cut := st.origin(r.file)
	if base == unknown && before != unknown {
		base, cut = 0, true
	}
	if cut {
		r.cut.Store(true)
	}
	r.base.Store(base)
	return base
}

// ReadAt reads len(p) bytes from offset off. When it returns fewer the error
// says why: a *GapError where bytes are gone, none read if off lies in the gap;
// io.EOF where no more have been written yet; ErrRemoved; ErrRewritten once, after
// which it reads what was written anew. What it returns is what the task wrote
// there.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("cannot read output at %d: %w", off, fs.ErrInvalid)
	}
	base := r.base.Load()
	if base == unknown {
		if _, err := r.size(); err != nil {
			return 0, err
		}
		if base = r.base.Load(); base == unknown {
			return r.nothing()
		}
	}
	n, readErr := r.file.ReadAt(p, off+base)
	// Only now: a gap is told before it is punched, so that bytes read outside
	// what is told by now were read before any punch. Nor was the file cut before
	// they were read, if it still has its lead.
	note, err := r.note()
	if err != nil {
		return 0, err
	}
	if base > 0 {
		if _, err := r.size(); err != nil {
			return 0, err
		}
		if r.base.Load() != base {
			return 0, ErrRewritten
		}
	}
	if off < note.to && off+int64(n) > note.from {
		return int(max(note.from-off, 0)), &GapError{From: note.from, To: note.to}
	}
	if readErr != nil && !errors.Is(readErr, io.EOF) {
		readErr = fmt.Errorf("cannot read output: %w", readErr)
	}
	return n, readErr
}

// nothing is what is read of a file in which nothing is.
func (r *Reader) nothing() (int, error) {
	if _, err := r.note(); err != nil {
		return 0, err
	}
	return 0, io.EOF
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
