package tasks

import (
	"time"

	"deputy/internal/monitor/queues"
	"deputy/internal/monitor/state"
)

// A task takes its lock and its place in a queue together: only the first behind a lock
// is given a place, and only one with a place begins.

func (r *Tasks) newQueues() *queues.Queues {
	return queues.New(queues.Options{
		State: r.State, Policy: r.Policy, Account: r.Callers.Account,
		Now:  func() int64 { return r.Loop.Wall().UnixNano() },
		Open: func() bool { return !r.Hold() && r.Ledger.Unwritable() == nil },
		MayBegin: func(t *state.Task) bool {
			return r.Get(t.ID).Waits() && r.accepted(t) && r.ripe(r.Get(t.ID)) && r.HoldsLock(t)
		},
		Begin: func(t *state.Task) { r.begin(r.Get(t.ID)) },
	})
}

// Requeue puts every task into its queue, as the policy that has come into force says,
// and begins whoever has a place now.
func (r *Tasks) Requeue() {
	r.Queues.Clear()
	for t := range r.All() {
		r.enter(t)
	}
	r.BeginAll() // some need a place no more
}

// enter puts a task where it belongs in its queue. One that ended as it waited, and
// whose end is not recorded, has neither a place nor waits for one.
func (r *Tasks) enter(t *Task) {
	if t.Phase != state.Over || t.Attempt > 0 {
		r.Queues.Enter(t.Task, t.Phase == state.Queued && !t.intended)
	}
}

// Waits says whether a task waits: to start it is not even intended.
func (t *Task) Waits() bool { return t.Phase == state.Queued && !t.intended }

// TimeLeft is what a task has left to be started in, where that has an end.
func (r *Tasks) TimeLeft(t *Task) time.Duration { return r.recheck.Left(t.Task) }

// HoldsLock says whether no other is before a task behind its lock.
func (r *Tasks) HoldsLock(t *state.Task) bool {
	return t.Lock == nil || r.State.LockOf(t).Holder == t
}

// goOn begins a task that the lock is free for, if it has or gets a place.
func (r *Tasks) goOn(t *Task) {
	if r.Queues.MustWait(t.ID) {
		r.Queues.Serve(r.Queues.Of(t.ID))
		return
	}
	r.begin(t)
}
