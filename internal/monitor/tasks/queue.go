package tasks

import (
	"fmt"
	"time"

	"deputy"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/policy"
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

// begin starts a task that has waited, if its lock is free now, it has a place in its
// queue, and the policy in force still allows it. The intent is durable before the start. While
// nothing new is recorded it waits on: see BeginAll.
func (r *Tasks) begin(t *Task) {
	if t.Phase != state.Queued || t.intended || r.Hold() || r.Ledger.Unwritable() != nil || !r.holdsLock(t.Task) || r.Queues.MustWait(t.ID) {
		return
	}
	if r.Callers.Pending(t.Task) && r.retry(t, func() { r.begin(t) }) {
		return
	}
	barred, asked := r.stillAllowed(t, func() { r.begin(t) })
	switch {
	case asked:
		return
	case barred != (bar{}):
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

// bar is why a task that was accepted may not be started any more, and how it ends
// for that: deputy.Expired or deputy.Rejected, or deputy.Failed where the machine lacks
// what it needs. The zero one: it may.
type bar struct {
	as  deputy.State
	why string // one sentence
}

// changed bars a task of which the policy in force knows another action, or
// none, than the one that was accepted.
func changed() bar {
	return bar{deputy.Rejected, "its action was changed while it waited"}
}

// rejudged is what the policy says of a task that has waited.
type rejudged struct {
	by    *policy.Policy
	names uint64 // version of the user database
	bar   bar
}

// stillAllowed says why a task may not be started any more: it is too late, or
// the policy in force, or who has the names in it, is not what it was accepted
// under and forbids it. What has to be found out for that is found beside the loop;
// asked: it is, and again is called then.
func (r *Tasks) stillAllowed(t *Task, again func()) (barred bar, asked bool) {
	if late := r.late(t); late != (bar{}) {
		return late, false
	}
	module, names := r.Policy().Set().Modules[t.Module], r.Users.Version()
	id := r.identity(t)
	if t.Policy == r.Policy().Set().Digest && (t.names == 0 || t.names == names) && len(id.GIDs) == len(t.Terms.GIDs) {
		return bar{}, false
	}
	if module == nil || module.Digest != t.Terms.Manifest {
		return changed(), false
	}
	if before := t.rejudged; before != nil && before.by == r.Policy() && before.names == names && !t.judging {
		return before.bar, false
	}
	if t.judging { // it goes on by itself
		return bar{}, true
	}
	now, params := &rejudged{by: r.Policy(), names: names}, t.Params
	t.judging = true
	account := string(r.Callers.Account(t.Caller))
	go r.Births.InTurn(account, func() {
		if _, _, refusal := now.by.Recheck(id, t.Module, t.Action, params); refusal != nil { // which never change
			now.bar = bar{deputy.Rejected, "it was not started: it is not allowed any more: " + refusal.Detail}
			if refusal.Code == deputy.CannotEnforce { // nobody forbids it: it fails as one that has not waited does
				now.bar.as = deputy.Failed
			}
		}
		r.Loop.Post(func() {
			t.rejudged, t.judging = now, false
			again()
		})
	})
	return bar{}, true
}

func (r *Tasks) identity(t *Task) policy.Identity {
	id := policy.Identity{Caller: t.Caller, UID: t.Terms.UID, GIDs: t.Terms.GIDs, GroupSIDs: t.Terms.GroupSIDs, Name: r.Callers.Name(t.Caller), EndUser: t.EndUser}
	r.Callers.Reduce(&id)
	return id
}

// late bars a task whose time to be started in is over.
func (r *Tasks) late(t *Task) bar {
	if t.Terms.WithinMS == 0 || r.left(t) > 0 {
		return bar{}
	}
	return bar{deputy.Expired, fmt.Sprintf("it was not started: %v had passed since it was accepted (start_within)", t.Terms.Within())}
}

// left is the time that a task has left to be started in.
func (r *Tasks) left(t *Task) time.Duration {
	return t.Terms.Within() - r.Loop.Since(t.Accepted.Boot, t.Accepted.NS, t.Created.Time)
}

// expire lets a queued task end when its time to be started is over.
func (r *Tasks) expire(t *Task) {
	if t.Terms.WithinMS == 0 || t.Phase != state.Queued {
		return
	}
	t.expiry = r.Loop.After(r.left(t), func() {
		if late := r.late(t); late != (bar{}) && !t.intended {
			t.barred = late
			r.happen(t, state.Barred)
		}
	})
}
