package monitor

import (
	"time"

	"deputy"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/state"
	"deputy/internal/wall"
)

// A person may ask as many callers, in a user namespace as each of 65,536 numbers.
// What a caller may have of anything is therefore counted for its account: the
// caller itself, or who owns the range of numbers that it lies in.

// account says whose limits count for a caller. It may be called by anybody.
func (m *Monitor) account(c deputy.Caller) deputy.Caller {
	uid, ok := c.UID()
	if !ok {
		return c
	}
	if owner := m.users.Recent().Account(uid); owner != uid {
		return deputy.UIDCaller(owner)
	}
	return c
}

// useOf is what all callers of an account cost now. Tasks and keys are counted for
// each caller, because whose range it lies in can change while they live.
func (m *Monitor) useOf(account deputy.Caller) state.Use {
	uid, isUID := account.UID()
	names := m.users.Recent()
	if !isUID || !names.Shares(uid) {
		return m.state.UseOf(account)
	}
	var sum state.Use
	for c, u := range m.state.Uses() {
		if of, ok := c.UID(); ok && names.Account(of) == uid {
			sum = sum.Plus(u)
		}
	}
	return sum
}

// named writes whose limit a caller has reached.
func named(c, account deputy.Caller) string {
	if c == account {
		return string(c)
	}
	return string(account) + ", whose number " + string(c) + " is,"
}

// reduce leaves an identity what its number proves at this moment.
func (m *Monitor) reduce(id *policy.Identity) (pending bool) {
	uid, ok := id.Caller.UID()
	if !ok {
		return false
	}
	standing := m.users.Standing(uid)
	if id.Bare = standing.Why; id.Bare != "" {
		id.GIDs = nil
	}
	return standing.Pending
}

// patience is how long a request waits for the name services to say whether its
// caller has a name, if it would be refused otherwise.
const patience = 3 * time.Second

// hold gives a request another turn once it is known whether its caller has a name.
// It is not charged again.
func (m *Monitor) hold(l *line, one turn) {
	id, ok := m.reception.Identity(one.r.Connection)
	uid, isUID := id.Caller.UID()
	if !ok || !isUID {
		one.peer.Answer(one.r, 0, wall.Outcome{Error: errGone()})
		return
	}
	one.held = true
	go func() { // as many as requests that wait for an answer, which are bounded
		m.users.Await(uid, patience)
		m.turns.again(l.caller, one)
	}()
}

// depends says whether what was found could be another if groups counted.
func (j *judged) depends(r *wall.Request) bool {
	if j.refusal != nil {
		return j.refusal.Code == deputy.NotAllowed || j.refusal.Code == deputy.UnknownAction
	}
	switch r.Kind {
	case wall.Rights, wall.Actions, wall.Stop, wall.Explain:
		return true
	}
	return false
}

// unsettled says whether it is not known whether groups of a task's caller count.
func (m *Monitor) unsettled(t *Task) bool {
	uid, ok := t.Caller.UID()
	return ok && len(t.Terms.GIDs) > 0 && m.users.Standing(uid).Pending
}
