package waits

import (
	"encoding/json"
	"testing"
	"time"

	"deputy"
	"deputy/internal/monitor/clock"
	"deputy/internal/monitor/loop"
	"deputy/internal/monitor/state"
	"deputy/internal/monitor/tasks"
)

func apply(t *testing.T, r *tasks.Tasks, e *deputy.Event) {
	t.Helper()
	if err := r.State.Apply(e); err != nil {
		t.Fatal(err)
	}
}

// behindALock has tasks accepted for one lock, the first of which holds it.
func behindALock(t *testing.T, r *tasks.Tasks, wall time.Time, ids ...string) {
	t.Helper()
	lock := "l"
	for i, id := range ids {
		run, err := json.Marshal(state.Terms{WithinMS: time.Hour.Milliseconds()})
		if err != nil {
			t.Fatal(err)
		}
		apply(t, r, &deputy.Event{
			Type: deputy.Accepted, Module: "m", Caller: "uid:1", Time: deputy.Time{Time: wall}, BootNS: clock.Now(),
			Tasks: []deputy.TaskRecord{{ID: id, Lock: &lock, Parts: []string{"l"}, Queued: i > 0, Run: run}},
		})
	}
}

func TestATaskWaitsForItsLock(t *testing.T) {
	wall := time.Now()
	accepted := wall
	r := tasks.New(tasks.Options{State: state.New(), Loop: loop.New(clock.Clock{Boot: "this", Now: clock.Now, Wall: func() time.Time { return wall }})})
	apply(t, r, &deputy.Event{Type: deputy.MonitorStart, Boot: "this", BootNS: clock.Now() - int64(time.Hour)})
	behindALock(t, r, accepted, "holder", "second")
	waits := Of(r, []string{"second", "holder", "nobody's"}).Find()
	w := waits["second"]
	if len(waits) != 1 || w == nil {
		t.Fatalf("%v wait, want the second alone", waits)
	}
	if w.For != deputy.ForLock || w.Task == nil || *w.Task != "holder" || w.Queue != nil || w.Position != nil {
		t.Errorf("it waits for %+v", w)
	}
	if !w.Since.Equal(accepted) || w.Until == nil || !w.Until.Equal(accepted.Add(time.Hour)) {
		t.Errorf("from %v until %v, want an hour from %v on", w.Since, w.Until, accepted)
	}
	wall = accepted.Add(-24 * time.Hour) // a clock that is set moves no end of a wait
	if until := Of(r, []string{"second"}).Find()["second"].Until; until.Sub(accepted.Add(-23*time.Hour)).Abs() > time.Minute {
		t.Errorf("with a clock set back a day it waits until %v", until)
	}
	apply(t, r, &deputy.Event{Type: deputy.Ended, Task: "holder", State: deputy.Succeeded})
	if waits := Of(r, []string{"second"}).Find(); len(waits) > 0 {
		t.Errorf("the lock is free, and %+v wait", waits)
	}
}
