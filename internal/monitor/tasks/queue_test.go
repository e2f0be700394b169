package tasks

import (
	"deputy"
	"deputy/internal/monitor/clock"
	"deputy/internal/monitor/loop"
	"deputy/internal/monitor/state"
	"encoding/json"
	"testing"
	"time"
)

// newClocked makes tasks in the boot "this" whose journal began an hour ago, as far as
// the boot clock knows. The wall clock is a test's to set.
func newClocked(t *testing.T) (*Tasks, *time.Time) {
	t.Helper()
	wall := time.Now()
	r := New(Options{State: state.New(), Loop: loop.New(clock.Clock{Boot: "this", Now: clock.Now, Wall: func() time.Time { return wall }})})
	apply(t, r, &deputy.Event{Type: deputy.MonitorStart, Boot: "this", BootNS: clock.Now() - int64(time.Hour)})
	return r, &wall
}

func apply(t *testing.T, r *Tasks, e *deputy.Event) {
	t.Helper()
	if err := r.State.Apply(e); err != nil {
		t.Fatal(err)
	}
}

// acceptAgo has a queued task accepted ago, with an idempotency key.
func acceptAgo(t *testing.T, r *Tasks, wall time.Time, ago, within time.Duration) *Task {
	t.Helper()
	run, _ := json.Marshal(state.Terms{WithinMS: within.Milliseconds()})
	apply(t, r, &deputy.Event{
		Type: deputy.Accepted, Caller: "uid:1", Time: deputy.Time{Time: wall.Add(-ago)}, BootNS: clock.Now() - int64(ago),
		Key: &deputy.Idempotency{Key: "k"}, Tasks: []deputy.TaskRecord{{ID: "t", Queued: true, Run: run}},
	})
	return r.Get("t")
}

// A task that has begun is not begun again by its acceptance, whichever of the two is told
// of first.
func TestAnAcceptanceStartsNothingThatIsIntended(t *testing.T) {
	r, wall := newClocked(t)
	task := acceptAgo(t, r, *wall, 0, time.Hour)
	task.intended = true
	apply(t, r, &deputy.Event{Type: deputy.StartIntended, Task: "t", Attempt: 1})
	r.Accepted("t", true) // it has no host: a start would not return
	if task.Phase != state.Starting || r.births != 0 || task.expiry != nil {
		t.Errorf("it is %s, %d births are under way", task.Phase, r.births)
	}
}

// Within a boot no set clock makes time pass, or not pass; across boots the
// wall clock alone says how much did.
func TestClockJumps(t *testing.T) {
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		boot      string
		ago, jump time.Duration
		late      bool // for a start within 2 h
		forgotten bool // the idempotency key
	}{
		"no jump":                                 {"this", time.Hour, 0, false, false},
		"forward by hours":                        {"this", time.Hour, 5 * time.Hour, false, false},
		"forward by days":                         {"this", time.Hour, 5 * day, false, false},
		"back by days":                            {"this", time.Hour, -5 * day, false, false},
		"too late, back by days":                  {"this", 3 * time.Hour, -5 * day, true, false},
		"a day later, back by days":               {"this", 25 * time.Hour, -5 * day, true, true},
		"another boot":                            {"other", time.Hour, 0, false, false},
		"another boot, too late":                  {"other", time.Hour, 2 * time.Hour, true, false},
		"another boot, a day later":               {"other", time.Hour, day, true, true},
		"another boot, its clock far in the past": {"other", time.Hour, -5 * day, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, wall := newClocked(t)
			task := acceptAgo(t, r, *wall, test.ago, 2*time.Hour)
			if test.boot != "this" {
				r.Loop.Boot = test.boot
				apply(t, r, &deputy.Event{Type: deputy.MonitorStart, Boot: test.boot, BootNS: clock.Now()})
			}
			*wall = wall.Add(test.jump)
			if late := r.recheck.Late(task.Task); (late.As == deputy.Expired) != test.late {
				t.Errorf("to be started within 2 h: %+v", late)
			}
			r.State.ExpireKeys(func(at state.Moment, wall deputy.Time) time.Duration { return r.Loop.Since(at.Boot, at.NS, wall.Time) })
			if forgotten := len(r.State.Keys) == 0; forgotten != test.forgotten {
				t.Errorf("the key is forgotten: %v", forgotten)
			}
		})
	}
}
