package tasks

import (
	"time"

	"deputy/internal/monitor/state"
)

// A debounced task begins once it was not asked for again for a while. That it was is
// not recorded: after a crash it may begin earlier than it would have, and never later.

// debounce has a task wait until it was not asked for for a while, from its acceptance.
func (r *Tasks) debounce(t *Task) {
	if t.Terms.AtMostMS == 0 || t.Phase != state.Queued || t.intended {
		return
	}
	now := r.Loop.Now()
	t.first = now - int64(max(0, r.Loop.Since(t.Accepted.Boot, t.Accepted.NS, t.Created.Time)))
	r.wait(t, t.first)
}

// AskedAgain has a task that still waits for that wait on.
func (r *Tasks) AskedAgain(id string) {
	if t := r.Get(id); t != nil && t.first != 0 && t.Phase == state.Queued && !t.intended {
		r.wait(t, r.Loop.Now())
	}
}

// wait has a task begin when it is due that was asked for last at a time of the boot clock.
func (r *Tasks) wait(t *Task, last int64) {
	t.due = t.Terms.Due(t.first, last)
	r.Loop.Cancel(t.ripens)
	t.ripens = r.Loop.After(max(0, time.Duration(t.due-r.Loop.Now())), func() { r.goOn(t) })
}

// ripe says whether a task waits for no more requests.
func (r *Tasks) ripe(t *Task) bool { return r.Unripe(t) == 0 }

// Unripe is how long a task still waits for more requests, if none comes.
func (r *Tasks) Unripe(t *Task) time.Duration { return time.Duration(max(0, t.due-r.Loop.Now())) }
