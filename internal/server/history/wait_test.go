package history

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"deputy"
)

func TestWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	h, j := openTest(t, path), newJournal()
	a, b, c := j.id(), j.id(), j.id()
	mustApply(t, h, j, j.accepted(a), j.accepted(b), j.accepted(c), ended(c, deputy.Failed))

	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := h.Wait(short, c, a); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- h.Wait(context.Background(), a, b, c) }()
	mustApply(t, h, j, ended(b, deputy.Succeeded), started(a), ended(a, deputy.Succeeded))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := h.Wait(context.Background(), c, "none"); !errors.Is(err, ErrUnknownTask) {
		t.Fatal(err)
	}
	h.Close()
	h = openTest(t, path)
	if err := h.Wait(context.Background(), a, b, c); err != nil {
		t.Fatalf("for tasks of the database: %v", err)
	}
}

func TestWaitEndsWithTheHistory(t *testing.T) {
	h, j := openTest(t, filepath.Join(t.TempDir(), "history.db")), newJournal()
	id := j.id()
	mustApply(t, h, j, j.accepted(id))
	done := make(chan error)
	go func() { done <- h.Wait(context.Background(), id) }()
	waitFor(t, "it waits", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.tasks[id].ended != nil
	})
	h.Close()
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	line := j.add(started(id))
	if err := h.Apply(j.seq, line); !errors.Is(err, ErrClosed) {
		t.Fatalf("apply after close: %v", err)
	}
}

func TestChangedAndProgress(t *testing.T) {
	h, j := openTest(t, filepath.Join(t.TempDir(), "history.db")), newJournal()
	id := j.id()
	state := func() deputy.Task {
		task, ok, err := h.Task(context.Background(), id)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		return task
	}
	mustApply(t, h, j, j.accepted(id))
	for name, change := range map[string]func(){
		"join": func() {
			mustApply(t, h, j, deputy.Event{Type: deputy.Accepted, Caller: "uid:7", Tasks: []deputy.TaskRecord{{ID: id, Joined: true}}})
		},
		"start":    func() { mustApply(t, h, j, started(id)) },
		"progress": func() { h.SetProgress(id, deputy.Progress{Percent: ptr(42.0), Message: ptr("half")}) },
	} {
		changed := h.Changed(id)
		select {
		case <-changed:
			t.Fatalf("%s: changed before", name)
		default:
		}
		change()
		<-changed
	}
	if p := state().Progress; p == nil || *p.Percent != 42 || *p.Message != "half" {
		t.Fatalf("progress is %+v", p)
	}
	changed := h.Changed(id)
	mustApply(t, h, j, ended(id, deputy.Succeeded))
	<-changed
	h.SetProgress(id, deputy.Progress{Percent: ptr(1.0)})
	if p := state().Progress; p != nil {
		t.Fatalf("progress after the end is %+v", p)
	}
	for _, id := range []string{id, "none"} {
		if h.Changed(id) != nil {
			t.Fatalf("task %s can change", id)
		}
	}
}
