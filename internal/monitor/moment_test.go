package monitor

import (
	"encoding/json"
	"testing"
	"time"

	"deputy"
	"deputy/internal/monitor/clock"
	"deputy/internal/monitor/state"
	"deputy/internal/signature"
)

// wallClock is one that a test sets.
type wallClock struct{ time.Time }

func (c *wallClock) now() time.Time { return c.Time }

// newClocked makes a monitor in the boot "this" whose journal began an hour ago,
// as far as the boot clock knows.
func newClocked(t *testing.T) (*Monitor, *wallClock) {
	t.Helper()
	c := &wallClock{time.Now()}
	m := New(Options{Now: c.now})
	m.loop.Boot = "this"
	apply(t, m, &deputy.Event{Type: deputy.MonitorStart, Boot: "this", BootNS: clock.Now() - int64(time.Hour)})
	return m, c
}

func apply(t *testing.T, m *Monitor, e *deputy.Event) {
	t.Helper()
	if err := m.state.Apply(e); err != nil {
		t.Fatal(err)
	}
}

// acceptAgo has a queued task accepted ago, with an idempotency key.
func acceptAgo(t *testing.T, m *Monitor, c *wallClock, ago, within time.Duration) *Task {
	t.Helper()
	run, _ := json.Marshal(state.Terms{WithinMS: within.Milliseconds()})
	apply(t, m, &deputy.Event{
		Type: deputy.Accepted, Caller: "uid:1", Time: deputy.Time{Time: c.Add(-ago)}, BootNS: clock.Now() - int64(ago),
		Key: &deputy.Idempotency{Key: "k"}, Tasks: []deputy.TaskRecord{{ID: "t", Queued: true, Run: run}},
	})
	return m.task("t")
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
			m, c := newClocked(t)
			task := acceptAgo(t, m, c, test.ago, 2*time.Hour)
			if test.boot != "this" {
				m.loop.Boot = test.boot
				apply(t, m, &deputy.Event{Type: deputy.MonitorStart, Boot: test.boot, BootNS: clock.Now()})
			}
			c.Time = c.Add(test.jump)
			if why := m.late(task); (why != "") != test.late {
				t.Errorf("to be started within 2 h: %q", why)
			}
			m.state.ExpireKeys(m.age)
			if forgotten := len(m.state.Keys) == 0; forgotten != test.forgotten {
				t.Errorf("the key is forgotten: %v", forgotten)
			}
		})
	}
}

// From when on signatures are good follows the clock as it is now.
func TestKnownNonces(t *testing.T) {
	m, c := newClocked(t)
	at := func(what string, want time.Time) {
		t.Helper()
		if off := m.known() - want.Unix(); off < -1 || off > 1 {
			t.Errorf("%s: known from %v on, want %v", what, time.Unix(m.known(), 0), want)
		}
	}
	at("since the journal began", c.Add(-time.Hour))
	c.Time = c.Add(1000 * time.Hour)
	apply(t, m, &deputy.Event{Type: deputy.MonitorStart, Boot: "this", BootNS: clock.Now(), Restored: true})
	at("restored under a clock that is far ahead", c.Add(signature.Window*time.Second))
	c.Time = c.Add(-1000 * time.Hour)
	at("that clock set right", c.Add(signature.Window*time.Second))
	apply(t, m, &deputy.Event{Type: deputy.MonitorStart, Boot: "this", BootNS: clock.Now()})
	at("a restart is no restore", c.Add(signature.Window*time.Second))
	m.loop.Boot = "other"
	apply(t, m, &deputy.Event{Type: deputy.MonitorStart, Boot: "other", BootNS: clock.Now()})
	at("another boot", c.Add(-time.Duration(clock.Now())))
}
