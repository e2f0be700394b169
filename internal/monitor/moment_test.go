package monitor

import (
	"testing"
	"time"

	"deputy"
	"deputy/internal/monitor/clock"
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
