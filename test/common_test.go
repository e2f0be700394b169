//go:build linux

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

// wide lets one caller do what a test needs; limits have their own tests.
const wide = `[defaults]
per_caller = { live = 100000, rate = "100000/s", connections = 1000 }
`

// installed is the part of deputy.toml that an install by root needs.
const installed = wide + `
[server]
user = "daemon"
[listen]
line = []
`

// prepare is a deputy with one module, m, that is not started yet. In texts
// CAST is the program that plays tasks, WORK the directory of the test, UID
// whoever runs the test.
func prepare(t *testing.T, module string, more rig.Files, args ...string) *rig.Deputy {
	t.Helper()
	d := rig.New(t, nil, args...)
	files := rig.Files{"deputy.toml": wide}
	for name, text := range more {
		files[name] = text
	}
	if module != "" {
		files["modules.d/m.toml"] = module
	}
	for name, text := range files {
		files[name] = fill(t, d, text)
	}
	d.Write(files)
	return d
}

func fill(t *testing.T, d *rig.Deputy, text string) string {
	t.Helper()
	return strings.NewReplacer(
		"CAST", filepath.Join(rig.Programs(t), "cast"), "WORK", d.Work, "UID", fmt.Sprint(os.Geteuid()),
	).Replace(text)
}

// begin is prepare and start.
func begin(t *testing.T, module string, more rig.Files, args ...string) *rig.Deputy {
	t.Helper()
	d := prepare(t, module, more, args...)
	d.Start()
	return d
}

// gate is a FIFO at which tasks wait. Each read of one ends when open is called
// for it.
type gate struct {
	t    testing.TB
	path string
}

func newGate(t testing.TB, path string) gate {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	return gate{t, path}
}

// open waits until somebody reads, and lets all who read go on.
func (g gate) open() {
	g.t.Helper()
	done := make(chan error, 1)
	go func() {
		f, err := os.OpenFile(g.path, os.O_WRONLY, 0)
		if err == nil {
			err = f.Close()
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			g.t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		g.t.Fatalf("nobody waits at %s", filepath.Base(g.path))
	}
}

// together calls do n times at the same moment.
func together(n int, do func(i int)) {
	var ready, all sync.WaitGroup
	start := make(chan struct{})
	ready.Add(n)
	for i := range n {
		all.Go(func() {
			ready.Done()
			<-start
			do(i)
		})
	}
	ready.Wait()
	close(start)
	all.Wait()
}

// lines reads a file that tasks append to.
func lines(t testing.TB, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// running waits until a task runs.
func running(t testing.TB, c *rig.Caller, id string) deputy.Task {
	t.Helper()
	var task deputy.Task
	rig.Eventually(t, 30*time.Second, "task "+id+" runs", func() bool {
		task = c.Task(id)
		if task.Ended != nil {
			t.Fatalf("task %s has ended already: %s, %s", id, task.State, reason(task))
		}
		return task.State == deputy.Running
	})
	return task
}

// ready waits until a task has written its first line.
func ready(t testing.TB, c *rig.Caller, id string) {
	t.Helper()
	rig.Eventually(t, 60*time.Second, "task "+id+" is ready", func() bool { return strings.Contains(c.Stdout(id), "\n") })
}

// text writes JSON, in which %q does for short plain strings.
func text(format string, args ...any) string { return fmt.Sprintf(format, args...) }

func reason(task deputy.Task) string {
	if task.Reason == nil {
		return ""
	}
	return *task.Reason
}

func ids(tasks []deputy.Task) []string {
	var list []string
	for _, task := range tasks {
		list = append(list, task.ID)
	}
	return list
}
