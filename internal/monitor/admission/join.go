package admission

import (
	"crypto/subtle"
	"slices"

	"deputy"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/state"
)

// A request that asks for what a live task does already is given that task: it
// joins. Another party (another caller, or the same in another end user's name) is
// shown no more of it than its state, its times and its end, unless a rule lets it
// read; and where values are sensitive no other party joins, nor learns which task
// it is that holds the lock: it could try values until one is joined.

// maxJoins bounds what one caller's joins may cost the monitor's memory.
const maxJoins = 10_000

func (a *admission) use(item *policy.Item) state.LockUse {
	if item.Lock == nil {
		return state.LockUse{}
	}
	return a.ad.State.Lock(a.plan.Action.Module, item.Lock)
}

// place finds where an item goes: to a task that lives already, into the queue
// behind one, or (nil, false) to a task of its own at once.
func (a *admission) place(item *policy.Item, use state.LockUse) (join *state.Task, queued bool, refusal *deputy.Error) {
	if a.plan.Action.Debounce != nil {
		return a.debounced(item, use)
	}
	if use.Holder == nil {
		return nil, false, nil
	}
	if use.Holder.Ending && a.plan.Action.OnBusy != manifest.Reject {
		if len(use.Waiting) == 0 {
			return nil, true, nil // its end is on its way to the disk, and the lock is free after that
		}
		use.Holder, use.Waiting = use.Waiting[0], use.Waiting[1:]
	}
	switch a.plan.Action.OnBusy {
	case manifest.Rerun:
		return a.unbegun(item, use)
	case manifest.Reject:
		return nil, false, a.busy(item, use.Holder)
	case manifest.InLine:
		if len(use.Waiting)+a.behind >= maxBehind {
			return nil, false, a.tooManyBehind(item, use)
		}
		a.behind++
		return nil, true, nil
	case manifest.Replace:
		return nil, true, a.replace(item, use)
	}
	for _, t := range use.All() {
		if a.same(item, t) {
			return t, false, nil
		}
	}
	return nil, false, a.busy(item, use.Holder)
}

// unbegun joins a task that has not begun: it will see what this caller wants seen. Where
// there is none, the item waits behind the one that runs.
func (a *admission) unbegun(item *policy.Item, use state.LockUse) (join *state.Task, queued bool, refusal *deputy.Error) {
	for _, t := range slices.Backward(use.All()) {
		switch {
		case t.Phase != state.Queued:
		case a.same(item, t):
			return t, false, nil
		default:
			return nil, false, a.busy(item, t)
		}
	}
	return nil, true, nil
}

// debounced is that, and makes who is joined wait on.
func (a *admission) debounced(item *policy.Item, use state.LockUse) (join *state.Task, queued bool, refusal *deputy.Error) {
	if join, queued, refusal = a.unbegun(item, use); join != nil {
		a.again = append(a.again, join.ID)
	}
	return join, queued, refusal
}

// askedAgain has tasks wait on that were joined while they wait for no more requests.
func (a *admission) askedAgain() {
	for _, id := range a.again {
		a.ad.Tasks.AskedAgain(id)
	}
}

// replace has an item take the place of those that hold and await its lock, if whoever
// asks may stop them all.
func (a *admission) replace(item *policy.Item, use state.LockUse) *deputy.Error {
	rights := a.ad.Policy().Rights(a.id)
	for _, t := range use.All() {
		if !t.Terms.Stoppable || !state.Reaches(a.id, t.Party()) && !rights.MayStop(t.Module, t.Action, t.Params) {
			return a.busy(item, t)
		}
		a.replaces = append(a.replaces, t.ID)
	}
	return nil
}

// maxBehind is how many tasks may wait behind one lock.
const maxBehind = 100

// tooManyBehind refuses one more behind a lock.
func (a *admission) tooManyBehind(item *policy.Item, use state.LockUse) *deputy.Error {
	e := deputy.Refuse(deputy.RateLimited, "cannot accept: %d tasks wait behind the lock %q of %s, and no more may; nothing was started, ask again when some have ended",
		len(use.Waiting), item.LockText(), a.plan.Action.Module)
	e.RetryAfter = 1
	return e
}

// party is who asks.
func (a *admission) party() deputy.Party {
	return deputy.Party{Caller: a.id.Caller, EndUser: a.id.EndUser}
}

// hides says whether a task's values are none of whoever asks, not even by comparing.
func (a *admission) hides(t *state.Task) bool { return t.Terms.Secret && t.Party() != a.party() }

// same says whether a live task does exactly what is asked for, and may be joined.
func (a *admission) same(item *policy.Item, t *state.Task) bool {
	if t.Action != a.plan.Action.Name || a.hides(t) {
		return false
	}
	return a.equal(item, t, a.ad.Seal.OfTask(t.ID)) ||
		t.Terms.Secret && a.equal(item, t, func(_, value string) string { return a.ad.Seal(value) }) // as an earlier version sealed
}

// equal holds what is asked for against a task's values, the sensitive ones sealed
// as those of the task are. How long it takes says nothing of how near they are.
func (a *admission) equal(item *policy.Item, t *state.Task, seal func(param, value string) string) bool {
	return subtle.ConstantTimeCompare([]byte(state.Canonical(item.Sealed(seal))), []byte(state.Canonical(t.Params))) == 1
}

// busy refuses what a lock stands against. Who may not see its holder is not told
// what that does.
func (a *admission) busy(item *policy.Item, t *state.Task) *deputy.Error {
	if a.hides(t) {
		return deputy.Refuse(deputy.Busy, "cannot accept: the lock %q of %s is held by a task of another, whose values are sensitive; wait until it has ended", item.LockText(), t.Module)
	}
	what := "a task"
	if state.Reaches(a.id, t.Party()) || a.ad.Policy().Rights(a.id).MayRead(t.Module, t.Action, t.Params) {
		what = t.Module + "/" + t.Action
	}
	e := deputy.Refuse(deputy.Busy, "cannot accept: the lock %q of %s is held by task %s (%s), which does something else or may not be joined; wait until it has ended, or stop it",
		item.LockText(), t.Module, t.ID, what)
	e.Task = t.ID
	return e
}
