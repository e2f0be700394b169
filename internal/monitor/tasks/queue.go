package tasks

import (
	"deputy"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/state"
	"fmt"
	"time"
)

// A task that waits for its lock is asked about again when it gets it: the time that it
// may wait, and the policy in force then, decide whether it begins.

// BeginAll begins what was held back while nothing new could be recorded.
func (r *Tasks) BeginAll() {
	for t := range r.All() {
		r.begin(t)
	}
	r.serveAll()
}

// begin starts a task that has waited, if its lock is free now, it has a place in its
// queue, and the policy in force still allows it. The intent is durable before the start. While
// nothing new is recorded it waits on: see BeginAll.
func (r *Tasks) begin(t *Task) {
	if t.Phase != state.Queued || t.intended || r.Hold() || r.Ledger.Unwritable() != nil || !r.holdsLock(t) || r.mustWait(t) {
		return
	}
	if r.Callers.Pending(t.Task) && r.retry(t, func() { r.begin(t) }) {
		return
	}
	why, asked := r.stillAllowed(t, func() { r.begin(t) })
	switch {
	case asked:
		return
	case why != "":
		t.failure = why
		r.happen(t, state.Barred)
		return
	}
	t.tried = 0
	r.Loop.Cancel(t.expiry)
	e := &deputy.Event{Type: deputy.StartIntended, Task: t.ID, Attempt: t.Attempt + 1, Policy: r.Policy().Set().Digest}
	t.intended = true
	r.Ledger.Record(e, ledger.After{Durable: func() { r.startIntended(t) }})
}

// rejudged is what the policy says of a task that has waited.
type rejudged struct {
	by    *policy.Policy
	names uint64 // version of the user database
	why   string // why it may not be started; "": it may
}

// stillAllowed says why a task may not be started any more: it is too late, or
// the policy in force, or who has the names in it, is not what it was accepted
// under and forbids it; "" if it may. What has to be found out for that is found
// beside the loop; asked: it is, and again is called then.
func (r *Tasks) stillAllowed(t *Task, again func()) (why string, asked bool) {
	if why := r.late(t); why != "" {
		return why, false
	}
	module, names := r.Policy().Set().Modules[t.Module], r.Users.Version()
	id := r.identity(t)
	if t.Policy == r.Policy().Set().Digest && (t.names == 0 || t.names == names) && len(id.GIDs) == len(t.Terms.GIDs) {
		return "", false
	}
	if module == nil || module.Digest != t.Terms.Manifest {
		return "it was not started: its manifest was changed while it waited", false
	}
	if before := t.rejudged; before != nil && before.by == r.Policy() && before.names == names && !t.judging {
		return before.why, false
	}
	if t.judging { // it goes on by itself
		return "", true
	}
	now, params := &rejudged{by: r.Policy(), names: names}, t.Params
	t.judging = true
	account := string(r.Callers.Account(t.Caller))
	go r.Births.InTurn(account, func() {
		if _, _, refusal := now.by.Recheck(id, t.Module, t.Action, params); refusal != nil { // which never change
			now.why = "it was not started: it is not allowed any more: " + refusal.Detail
		}
		r.Loop.Post(func() {
			t.rejudged, t.judging = now, false
			again()
		})
	})
	return "", true
}

func (r *Tasks) identity(t *Task) policy.Identity {
	id := policy.Identity{Caller: t.Caller, UID: t.Terms.UID, GIDs: t.Terms.GIDs, GroupSIDs: t.Terms.GroupSIDs, Name: r.Callers.Name(t.Caller), EndUser: t.EndUser}
	r.Callers.Reduce(&id)
	return id
}

// late says why a task may not be started any more; "" if it may.
func (r *Tasks) late(t *Task) string {
	if t.Terms.WithinMS == 0 || r.left(t) > 0 {
		return ""
	}
	return fmt.Sprintf("it was not started: %v had passed since it was accepted (start_within)", t.Terms.Within())
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
		if why := r.late(t); why != "" && !t.intended {
			t.failure = why
			r.happen(t, state.Barred)
		}
	})
}
