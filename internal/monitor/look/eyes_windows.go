package look

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Pool is of lookers, which only Linux has: here there is none.
type Pool struct{}

// NewPool gives none.
func NewPool([]string) *Pool { return nil }

// Main is for systems that have lookers.
func Main() int { return 2 }

// Close has nothing to do.
func (p *Pool) Close() {}

// Eyes are those of one check.
type Eyes struct{}

// Open makes eyes for one check, which wait as long as it takes.
func (p *Pool) Open(string) *Eyes { return &Eyes{} }

// See says what stands at a path. Who may change it, and the folders above, an
// access list says, which is no part of the sight.
func (e *Eyes) See(want Want) (Sight, error) {
	step, err := stat(want.Path)
	if err != nil {
		errno, _ := errors.AsType[syscall.Errno](err)
		return Sight{At: want.Path, Errno: errno}, nil
	}
	s := Sight{Steps: []Step{step}}
	if want.Head > 0 && step.Regular() {
		if s.Head, err = head(want.Path, want.Head); err != nil {
			s.Unread, _ = errors.AsType[syscall.Errno](err)
		}
	}
	if want.Whole && step.Folder() {
		entries, err := os.ReadDir(want.Path)
		s.Many = err != nil || len(entries) > maxBeneath
		for _, entry := range entries[:min(len(entries), maxBeneath)] {
			if step, err := stat(filepath.Join(want.Path, entry.Name())); err == nil {
				s.Beneath = append(s.Beneath, step)
			}
		}
	}
	return s, nil
}

func head(path string, size int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, int64(size)))
}

func stat(path string) (Step, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Step{}, err
	}
	s := Step{Path: path, Mode: uint32(info.Mode().Perm())}
	switch {
	case info.Mode().IsRegular():
		s.Mode |= regular
	case info.IsDir():
		s.Mode |= folder
	}
	return s, nil
}
