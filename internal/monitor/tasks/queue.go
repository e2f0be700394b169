package tasks

import (
	"deputy"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/recheck"
	"deputy/internal/monitor/state"
)

// A task that waits for its lock is asked about again when it gets it: the time that it
// may wait, and the policy in force then, decide whether it begins.

// BeginAll begins what was held back while nothing new could be recorded.
func (r *Tasks) BeginAll() {
	for t := range r.All() {
		r.begin(t)
	}
	r.Queues.ServeAll()
}

// accepted says whether the acceptance of a task is durable. Before that it may never
// have been, and nothing of it begins.
func (r *Tasks) accepted(t *state.Task) bool { return t.Seq <= r.Ledger.Durable() }

// begin starts a task that has waited, if its lock is free now, it has a place in its
// queue, and the policy in force still allows it. The intent is durable before the start. While
// nothing new is recorded it waits on: see BeginAll.
func (r *Tasks) begin(t *Task) {
	if !t.Waits() || !r.accepted(t.Task) || r.Hold() || r.Ledger.Unwritable() != nil || !r.ripe(t) || !r.HoldsLock(t.Task) || r.Queues.MustWait(t.ID) {
		return
	}
	if r.Callers.Pending(t.Task) && r.retry(t, func() { r.begin(t) }) {
		return
	}
	barred, asked := r.recheck.StillAllowed(t.Task, &t.Case, func() { r.begin(t) })
	switch {
	case asked:
		return
	case barred != (recheck.Bar{}):
		t.barred = barred
		r.happen(t, state.Barred)
		return
	}
	t.tried = 0
	r.Loop.Cancel(t.expiry)
	e := &deputy.Event{Type: deputy.StartIntended, Task: t.ID, Attempt: t.Attempt + 1, Policy: r.Policy().Set().Digest}
	t.intended = true
	r.Ledger.Record(e, ledger.After{Durable: func() { r.startIntended(t) }})
}

// expire lets a queued task end when its time to be started is over.
func (r *Tasks) expire(t *Task) {
	if t.Terms.WithinMS == 0 || t.Phase != state.Queued {
		return
	}
	t.expiry = r.Loop.After(r.recheck.Left(t.Task), func() {
		if late := r.recheck.Late(t.Task); late != (recheck.Bar{}) && !t.intended {
			t.barred = late
			r.happen(t, state.Barred)
		}
	})
}
