package output

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// MakeFolder makes a task's folder, which the group gid may read, before Start
// does.
func MakeFolder(dir string, gid int) error {
	return inGroup(gid, func() error { return os.Mkdir(dir, dirMode) })
}

// maxSpare is how many empty folders are kept.
const maxSpare = 64

// folders makes the tasks' folders. Most tasks write nothing, and leave an empty
// one: to rename that costs half of making one, and no inode. The oldest goes
// first: until then a folder says that its task was one of ours.
type folders struct {
	mu    sync.Mutex
	spare []string
}

// take makes dir, unless it exists.
func (f *folders) take(dir string) error {
	if spare := f.oldest(1); spare != "" {
		err := os.Rename(spare, dir)
		if err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) { // dir is there, and something in it
			f.give(spare)
		}
	}
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// oldest takes the oldest spare folder, if there are at least so many.
func (f *folders) oldest(least int) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.spare) < least {
		return ""
	}
	spare := f.spare[0]
	f.spare = append(f.spare[:0], f.spare[1:]...)
	return spare
}

// give takes a folder in which nothing is.
func (f *folders) give(dir string) {
	f.mu.Lock()
	f.spare = append(f.spare, dir)
	f.mu.Unlock()
	if old := f.oldest(maxSpare + 1); old != "" {
		_ = os.Remove(old) // what is in it, if anything is, goes with what is too old
	}
}

// bases say where in each of a task's files its output begins; unknown: it may
// have been there before. none: there is no such file.
type bases [2]int64

const none = -2

// make makes a task's folder and files.
func (f *folders) make(dir string, gid int, oneFile bool) (made [2]*os.File, base bases, err error) {
	err = inGroup(gid, func() (err error) {
		if err := f.take(dir); err != nil {
			return fmt.Errorf("cannot make a task's folder: %w", err)
		}
		for i, name := range []string{Stdout, Stderr} {
			if oneFile {
				name = Stdout
			}
			if made[i], base[i], err = create(filepath.Join(dir, name)); err != nil {
				return fmt.Errorf("cannot make a task's %s: %w", name, err)
			}
		}
		return nil
	})
	if oneFile {
		base[1] = none
	}
	return made, base, err
}
