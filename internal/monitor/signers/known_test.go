package signers

import (
	"testing"
	"time"

	"deputy"
	"deputy/internal/monitor/clock"
	"deputy/internal/monitor/loop"
	"deputy/internal/monitor/state"
	"deputy/internal/signature"
)

// From when on signatures are good follows the clock as it is now.
func TestKnownNonces(t *testing.T) {
	wall := time.Now() // a clock that the test sets
	s := New(Options{State: state.New(), Loop: loop.New(clock.Clock{Boot: "this", Now: clock.Now, Wall: func() time.Time { return wall }})})
	began := func(e deputy.Event) {
		t.Helper()
		e.Type = deputy.MonitorStart
		if err := s.State.Apply(&e); err != nil {
			t.Fatal(err)
		}
	}
	at := func(what string, want time.Time) {
		t.Helper()
		if off := s.known() - want.Unix(); off < -1 || off > 1 {
			t.Errorf("%s: known from %v on, want %v", what, time.Unix(s.known(), 0), want)
		}
	}
	began(deputy.Event{Boot: "this", BootNS: clock.Now() - int64(time.Hour)})
	at("since the journal began", wall.Add(-time.Hour))
	wall = wall.Add(1000 * time.Hour)
	began(deputy.Event{Boot: "this", BootNS: clock.Now(), Restored: true})
	at("restored under a clock that is far ahead", wall.Add(signature.Window*time.Second))
	wall = wall.Add(-1000 * time.Hour)
	at("that clock set right", wall.Add(signature.Window*time.Second))
	began(deputy.Event{Boot: "this", BootNS: clock.Now()})
	at("a restart is no restore", wall.Add(signature.Window*time.Second))
	s.Loop.Boot = "other"
	began(deputy.Event{Boot: "other", BootNS: clock.Now()})
	at("another boot", wall.Add(-time.Duration(clock.Now())))
}
