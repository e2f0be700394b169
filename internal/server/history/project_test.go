package history

import (
	"context"
	"path/filepath"
	"testing"

	"deputy"
)

// TestProjection feeds a sequence of events about the task "t" and compares the
// whole task, in memory and again after it was written and read back.
func TestProjection(t *testing.T) {
	accept := func() deputy.Event {
		return deputy.Event{Type: deputy.Accepted, Caller: "uid:33", Module: "m", Action: "a",
			Tasks: []deputy.TaskRecord{{ID: "t", Params: map[string]any{"n": 9007199254740993}}}}
	}
	join := func(c deputy.Caller) deputy.Event {
		return deputy.Event{Type: deputy.Accepted, Caller: c, Tasks: []deputy.TaskRecord{{ID: "t", Joined: true}}}
	}
	stop := deputy.Event{Type: deputy.StopRequested, Task: "t", Caller: "uid:33", State: deputy.Stopped, Reason: "asked"}
	receipt := &deputy.Receipt{Signalled: true, Killed: 2, TookMS: 41, Empty: true, Proof: "cgroup"}
	stopped := deputy.Event{Type: deputy.Ended, Task: "t", Attempt: 1, State: deputy.Stopped, Reason: "it was stopped",
		Exit: &deputy.Exit{Signal: "SIGTERM"}, Receipt: receipt, Left: 3,
		Out: &deputy.Output{Bytes: 100, Gap: &[2]int64{10, 60}}, Err: &deputy.Output{Bytes: 7}}
	neverRan := deputy.Event{Type: deputy.Ended, Task: "t", State: deputy.Failed, Reason: "it could not be started",
		Exit: &deputy.Exit{Unknown: "never started"}}
	removed := deputy.Event{Type: deputy.OutputRemoved, IDs: []string{"t"}}

	// Times are given by the number of the event, from 1.
	at := func(n int) *deputy.Time {
		return &deputy.Time{Time: newJournal().now.Add(ms(n))}
	}
	born := func(change func(*deputy.Task)) deputy.Task {
		task := deputy.Task{ID: "t", Module: "m", Action: "a", Params: map[string]any{"n": 9007199254740993},
			Caller: "uid:33", Joined: []deputy.Caller{}, State: deputy.Queued, Created: *at(1)}
		change(&task)
		return task
	}
	over := func(task *deputy.Task, n int) {
		task.State, task.Attempt, task.Started, task.Ended = deputy.Succeeded, 1, at(2), at(n)
		task.Exit, task.Leftover, task.StdoutBytes = &deputy.Exit{Code: ptr(0)}, ptr(0), 120
	}
	wasStopped := func(task *deputy.Task, n int) {
		task.State, task.Reason, task.Attempt, task.Ended = deputy.Stopped, ptr("it was stopped"), 1, at(n)
		task.Exit, task.Stop, task.Leftover = stopped.Exit, receipt, ptr(3)
		task.StdoutBytes, task.StdoutGap, task.StderrBytes = 100, &[2]int64{10, 60}, 7
	}
	for _, c := range []struct {
		name   string
		events []deputy.Event
		want   func(*deputy.Task)
	}{
		{"accepted", []deputy.Event{accept()}, func(*deputy.Task) {}},
		{"start intended", []deputy.Event{accept(), {Type: deputy.StartIntended, Task: "t", Attempt: 1}}, func(*deputy.Task) {}},
		{"started", []deputy.Event{accept(), started("t")}, func(task *deputy.Task) {
			task.State, task.Attempt, task.Started = deputy.Running, 1, at(2)
		}},
		{"second attempt", []deputy.Event{accept(), started("t"), {Type: deputy.Started, Task: "t", Attempt: 2}}, func(task *deputy.Task) {
			task.State, task.Attempt, task.Started = deputy.Running, 2, at(2)
		}},
		{"stopping", []deputy.Event{accept(), started("t"), stop}, func(task *deputy.Task) {
			task.State, task.Attempt, task.Started = deputy.Stopping, 1, at(2)
		}},
		{"born after its stop", []deputy.Event{accept(), stop, started("t")}, func(task *deputy.Task) {
			task.State, task.Attempt, task.Started = deputy.Stopping, 1, at(3)
		}},
		{"succeeded", []deputy.Event{accept(), started("t"), ended("t", deputy.Succeeded)}, func(task *deputy.Task) { over(task, 3) }},
		{"one end only", []deputy.Event{accept(), started("t"), ended("t", deputy.Succeeded), stop, stopped, started("t")},
			func(task *deputy.Task) { over(task, 3) }},
		{"stopped", []deputy.Event{accept(), started("t"), stop, stopped}, func(task *deputy.Task) {
			wasStopped(task, 4)
			task.Started = at(2)
		}},
		{"output removed", []deputy.Event{accept(), started("t"), stopped, removed}, func(task *deputy.Task) {
			wasStopped(task, 3)
			task.Started = at(2)
			task.StdoutGap, task.StderrGap = &[2]int64{0, 100}, &[2]int64{0, 7}
		}},
		{"never ran", []deputy.Event{accept(), neverRan}, func(task *deputy.Task) {
			task.State, task.Reason, task.Ended = deputy.Failed, ptr("it could not be started"), at(2)
			task.Exit, task.Leftover = neverRan.Exit, ptr(0)
		}},
		{"joined", []deputy.Event{accept(), join("uid:34"), join("uid:33"), join("uid:34")}, func(task *deputy.Task) {
			task.Joined = []deputy.Caller{"uid:34", "uid:33"}
		}},
		{"joined too late", []deputy.Event{accept(), started("t"), ended("t", deputy.Succeeded), join("uid:34")},
			func(task *deputy.Task) { over(task, 3) }},
		{"others", []deputy.Event{accept(), {Type: deputy.Denied, Task: "t"}, {Type: deputy.Cancelled, From: 1, To: 1},
			{Type: deputy.MonitorStart, Version: "1"}, {Type: deputy.DrainOn}, {Type: deputy.DrainOff}, {Type: "unheard_of", Task: "t"}}, func(*deputy.Task) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "history.db")
			h, j := openTest(t, path), newJournal()
			mustApply(t, h, j, c.events...)
			look := func(where string) {
				t.Helper()
				got, ok, err := h.Task(context.Background(), "t")
				if err != nil || !ok {
					t.Fatal(where, ok, err)
				}
				same(t, where, got, attempted(born(c.want)))
				same(t, where+", listed", all(t, h, Query{Limit: 5}, nil, nil), []deputy.Task{attempted(born(c.want))})
			}
			look("in memory")
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			h = openTest(t, path)
			if h.Next() != j.seq+1 {
				t.Fatalf("next is %d after %d records", h.Next(), j.seq)
			}
			look("from the database")
		})
	}
}

func TestUnknownTasksChangeNothing(t *testing.T) {
	h, j := openTest(t, filepath.Join(t.TempDir(), "history.db")), newJournal()
	mustApply(t, h, j, started("x"), ended("x", deputy.Failed), deputy.Event{Type: deputy.StopRequested, Task: "x"},
		deputy.Event{Type: deputy.Accepted, Tasks: []deputy.TaskRecord{{ID: "x", Joined: true}}})
	if _, ok, err := h.Task(context.Background(), "x"); ok || err != nil {
		t.Fatal(ok, err)
	}
}
