// Package callers says who a caller is: what its number proves at this moment, what
// it is called, and whose limits count for it.
package callers

import (
	"deputy"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/state"
	"deputy/internal/monitor/userdb"
)

// Callers are known by the user database.
type Callers struct{ Users *userdb.Database }

// New knows them by a database.
func New(users *userdb.Database) *Callers { return &Callers{users} }

// A person may ask as many callers, in a user namespace as each of 65,536 numbers.
// What a caller may have of anything is therefore counted for its account: the
// caller itself, or who owns the range of numbers that it lies in.

// Account says whose limits count for a caller. It may be called by anybody.
func (k *Callers) Account(c deputy.Caller) deputy.Caller {
	uid, ok := c.UID()
	if !ok {
		return c
	}
	if owner := k.Users.Recent().Account(uid); owner != uid {
		return deputy.UIDCaller(owner)
	}
	return c
}

// UseOf is what all callers of an account cost now. Tasks and keys are counted for
// each caller, because whose range it lies in can change while they live.
func (k *Callers) UseOf(s *state.State, account deputy.Caller) state.Use {
	uid, isUID := account.UID()
	names := k.Users.Recent()
	if !isUID || !names.Shares(uid) {
		return s.UseOf(account)
	}
	var sum state.Use
	for c, u := range s.Uses() {
		if of, ok := c.UID(); ok && names.Account(of) == uid {
			sum = sum.Plus(u)
		}
	}
	return sum
}

// Named writes whose limit a caller has reached.
func Named(c, account deputy.Caller) string {
	if c == account {
		return string(c)
	}
	return string(account) + ", whose number " + string(c) + " is,"
}

// Reduce leaves an identity what its number proves at this moment. pending: whether it
// has a name, and so groups, is not known yet.
func (k *Callers) Reduce(id *policy.Identity) (pending bool) {
	uid, ok := id.Caller.UID()
	if !ok {
		return false
	}
	standing := k.Users.Standing(uid)
	if id.Bare = standing.Why; id.Bare != "" {
		id.GIDs = nil
	}
	return standing.Pending
}

// Pending says whether it is not known yet whether groups of a task's caller count.
func (k *Callers) Pending(t *state.Task) bool {
	uid, ok := t.Caller.UID()
	return ok && len(t.Terms.GIDs) > 0 && k.Users.Standing(uid).Pending
}
