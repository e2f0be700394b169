package output

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// MakeFolder makes a task's folder, which the group gid may read, before Start
// does.
func MakeFolder(dir string, gid int) error {
	return inGroup(gid, func() error { return os.Mkdir(dir, dirMode) })
}

// maxSpare is how many folders are kept that nobody has any more.
const maxSpare = 32

// sparePrefix begins their names, which no task has.
const sparePrefix = "spare-"

// folders makes the tasks' folders. Most tasks write nothing. Their folders, with the
// files, are put aside for others to have: to make and delete a file costs a file system
// ten times as much as to rename a folder.
type folders struct {
	prefix string // tells ours from those of an earlier monitor

	mu    sync.Mutex
	spare []string
	count int // of all names ever given
}

func newFolders() folders {
	return folders{prefix: fmt.Sprintf("%s%d-", sparePrefix, time.Now().UnixNano())}
}

// take makes dir, unless it exists. It says whether files are in it that may be used again.
func (f *folders) take(dir string) (again bool, err error) {
	if spare := f.oldest(1); spare != "" {
		err := os.Rename(spare, dir)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, fs.ErrNotExist) { // dir is there, and something in it
			removeSpare(spare)
		}
	}
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	return false, nil
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

// give takes a folder in which nothing is but files that nobody wrote to. It says
// whether there was one.
func (f *folders) give(dir string) bool {
	f.mu.Lock()
	f.count++
	spare := filepath.Join(filepath.Dir(dir), fmt.Sprint(f.prefix, f.count))
	f.mu.Unlock()
	if os.Rename(dir, spare) != nil {
		return false
	}
	f.mu.Lock()
	f.spare = append(f.spare, spare)
	f.mu.Unlock()
	if old := f.oldest(maxSpare + 1); old != "" {
		removeSpare(old)
	}
	return true
}

func removeSpare(dir string) {
	for _, name := range []string{Stdout, Stderr} {
		_ = os.Remove(filepath.Join(dir, name))
	}
	_ = os.Remove(dir)
}

// SweepSpare removes a folder that an earlier Capper had put aside, if it is one.
func (c *Capper) SweepSpare(dir string) {
	if name := filepath.Base(dir); strings.HasPrefix(name, sparePrefix) && !strings.HasPrefix(name, c.folders.prefix) {
		removeSpare(dir)
	}
}

// bases say where in each of a task's files its output begins; unknown: it may
// have been there before. none: there is no such file.
type bases [2]int64

const none = -2

// make makes a task's folder and files.
func (f *folders) make(dir string, gid int, oneFile bool) (made [2]*os.File, base bases, err error) {
	err = inGroup(gid, func() error {
		again, err := f.take(dir)
		if err != nil {
			return fmt.Errorf("cannot make a task's folder: %w", err)
		}
		for i, name := range []string{Stdout, Stderr} {
			path := filepath.Join(dir, name)
			if again {
				if oneFile && i == 1 {
					_ = os.Remove(path)
				} else if made[i], base[i] = reuse(path, gid); made[i] != nil {
					continue
				}
			}
			if oneFile {
				path = filepath.Join(dir, Stdout)
			}
			if made[i], base[i], err = create(path); err != nil {
				return fmt.Errorf("cannot make a task's %s: %w", filepath.Base(path), err)
			}
		}
		return nil
	})
	if oneFile {
		base[1] = none
	}
	return made, base, err
}
