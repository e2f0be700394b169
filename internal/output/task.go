package output

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"deputy"
)

// files are a task's stdout and stderr; nil is one that there is not.
type files [2]*capped

// Start makes a task's folder, unless it exists, and its two files, open for
// appending, and puts them under a cap of limit bytes for each. The group gid
// reads them. With oneFile both results append to stdout, and there is no stderr.
// The caller closes both.
func (c *Capper) Start(dir string, gid int, oneFile bool, limit int64) (stdout, stderr *os.File, err error) {
	made, base, err := c.folders.make(dir, gid, oneFile)
	if err == nil {
		err = c.begin(dir, limit, base)
	}
	if err != nil {
		for _, file := range made {
			if file != nil {
				file.Close()
			}
		}
		return nil, nil, err
	}
	return made[0], made[1], nil
}

// Add puts a task of an earlier monitor, with its files in dir, under a cap of
// limit bytes for each, where that monitor left it.
func (c *Capper) Add(dir string, limit int64) error {
	task, err := c.find(dir, limit)
	if err != nil {
		return err
	}
	return c.add(dir, task)
}

// find takes up those of a task's files that there are.
func (c *Capper) find(dir string, limit int64) (task files, err error) {
	for i, name := range []string{Stdout, Stderr} {
		task[i], err = newCapped(filepath.Join(dir, name), limit, c.seed)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return files{}, err
		}
	}
	return task, nil
}

// begin puts a task whose files were just made, or found, under its cap.
func (c *Capper) begin(dir string, limit int64, base bases) error {
	if base[0] == unknown || base[1] == unknown {
		return c.Add(dir, limit)
	}
	var task files
	for i, name := range []string{Stdout, Stderr} {
		if base[i] != none {
			task[i] = freshCapped(filepath.Join(dir, name), limit, base[i], c.seed)
		}
	}
	return c.add(dir, task)
}

func (c *Capper) add(dir string, task files) error {
	at := time.Now().Add(firstLook)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.tasks[dir]; known {
		return fmt.Errorf("cannot cap output: %s is capped already", dir)
	}
	c.tasks[dir] = task
	for _, file := range task {
		if file != nil {
			c.schedule(file, at)
		}
	}
	return nil
}

// forget takes a task from those that are looked at.
func (c *Capper) forget(dir string) (files, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	task, known := c.tasks[dir]
	delete(c.tasks, dir)
	for _, file := range task {
		if file == nil {
			continue
		}
		file.finished = true
		delete(c.due, file)
		if file.watch != 0 {
			delete(c.armed, file.watch)
			c.notify.disarm(file.watch)
		}
	}
	return task, known
}

// Finish applies the cap a last time, once nothing of the task lives, closes
// what is kept to writing, and tells done what that is. The task is forgotten,
// also on an error. One that was not under its cap is put under it; it may have
// no files at all. A large output is read beside whoever calls this, and so is one that
// somebody holds up.
func (c *Capper) Finish(dir string, limit int64, done func(stdout, stderr deputy.Output, err error)) {
	task, known := c.forget(dir)
	if !known {
		var err error
		if task, err = c.find(dir, limit); err != nil {
			done(deputy.Output{}, deputy.Output{}, fmt.Errorf("cannot finish output: %w", err))
			return
		}
	}
	finish := func() { done(c.finish(task)) }
	if !task.large() {
		c.aside.do(patience, finish)
		return
	}
	go func() {
		c.slow <- struct{}{}
		defer func() { <-c.slow }()
		c.aside.do(largePatience, finish)
	}()
}

func (c *Capper) finish(task files) (stdout, stderr deputy.Output, err error) {
	var results [2]deputy.Output
	for i, file := range task {
		if file == nil {
			continue
		}
		out, failed := file.finish(c.warnOnce)
		results[i], err = out, errors.Join(err, failed)
	}
	return results[0], results[1], err
}

// large says whether to read what is kept takes longer than others should wait.
func (f files) large() bool {
	for _, file := range f {
		if file == nil {
			continue
		}
		if st, err := measure(file.path); err == nil && (st.allocated > largeFile || st.allocated < 0 && st.size > largeFile) {
			return true
		}
	}
	return false
}

// Abandon forgets a task that was not born, and the files that were made for it.
func (c *Capper) Abandon(dir string) {
	c.forget(dir)
	for _, name := range []string{Stdout, Stderr} {
		_ = os.Remove(filepath.Join(dir, name))
	}
}

// Tidy deletes the outputs that stayed empty, or puts them aside with their folder for another
// task, once the task's end is durable. It says whether any output is kept in dir: if not,
// dir is the task's no longer. secret says that something else was there, too.
func (c *Capper) Tidy(dir string, noStdout, noStderr, secret bool) (kept bool) {
	if noStdout && noStderr && !secret && isFree(dir) && c.folders.give(dir) {
		return false
	}
	for i, empty := range []bool{noStdout, noStderr} {
		if !empty {
			kept = true
			continue
		}
		err := os.Remove(filepath.Join(dir, [...]string{Stdout, Stderr}[i]))
		kept = kept || err != nil && !errors.Is(err, fs.ErrNotExist)
	}
	if !kept {
		_ = os.Remove(dir) // it may never have had one
	}
	return kept
}

// Sweep is Tidy for a task of an earlier monitor, whose end is durable. It says
// whether any output is kept in dir; if not, dir is gone.
func Sweep(dir string) (kept bool) {
	for _, name := range []string{Stdout, Stderr} {
		path := filepath.Join(dir, name)
		c, err := newCapped(path, 0, maphash.MakeSeed())
		if err == nil {
			var st status
			if st, err = measure(path); err == nil && !c.untouched(st) {
				return true
			}
		}
		if err == nil {
			err = os.Remove(path)
		}
		kept = kept || err != nil && !errors.Is(err, fs.ErrNotExist)
	}
	if !kept {
		_ = os.RemoveAll(dir)
	}
	return kept
}
