package monitor

import (
	"fmt"
	"time"

	"deputy"
	"deputy/internal/monitor/state"
)

// age is how long ago something was recorded.
func (m *Monitor) age(at state.Moment, wall deputy.Time) time.Duration {
	return m.loop.Since(at.Boot, at.NS, wall.Time)
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
	t.expiry = m.loop.After(m.left(t), func() {
		if why := m.late(t); why != "" && !t.intended {
			t.failure = why
			m.happen(t, state.Barred)
		}
	})
}
