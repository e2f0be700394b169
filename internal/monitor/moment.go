package monitor

import (
	"deputy/internal/monitor/state"
	"fmt"
	"time"

	"deputy"
	"deputy/internal/monitor/clock"
)

// age is how long ago something was recorded. In one boot the boot clock says
// it; across boots only the wall clock, which may be wrong, goes on.
func (m *Monitor) age(at state.Moment, wall deputy.Time) time.Duration {
	if at.Boot == m.boot {
		return time.Duration(clock.Now() - at.NS)
	}
	return m.o.Now().Sub(wall.Time)
}

// late says why a task may not be started any more; "" if it may.
func (m *Monitor) late(t *Task) string {
	if t.Terms.WithinMS == 0 || m.left(t) > 0 {
		return ""
	}
	return fmt.Sprintf("it was not started: %v had passed since it was accepted (start_within)", t.Terms.Within())
}

// left is the time that a task has left to be started in.
func (m *Monitor) left(t *Task) time.Duration { return t.Terms.Within() - m.age(t.Accepted, t.Created) }

// expireQueued lets a queued task end when its time to be started is over.
func (m *Monitor) expireQueued(t *Task) {
	if t.Terms.WithinMS == 0 || t.Phase != state.Queued {
		return
	}
	t.expiry = m.timers.After(m.left(t), func() {
		if why := m.late(t); why != "" && !t.intended {
			t.failure = why
			m.happen(t, state.Barred)
		}
	})
}
