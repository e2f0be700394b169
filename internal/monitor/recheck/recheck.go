// Package recheck says whether a task that has waited may still start: whether it is in
// time, and whether the policy in force, and who has the names in it now, still allow it.
// It belongs to the loop; what the policy has to look at is looked at beside it.
package recheck

import (
	"deputy"
	"deputy/internal/monitor/callers"
	"deputy/internal/monitor/loop"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/state"
	"deputy/internal/monitor/userdb"
	"fmt"
	"time"
)

// Options are what that hangs on.
type Options struct {
	Policy  func() *policy.Policy // in force
	Users   *userdb.Database
	Callers *callers.Callers
	Loop    *loop.Loop
	InTurn  func(account string, do func()) // beside the loop, when it is that account's turn
}

// Checker knows no task: what it has found out of one is that one's Case.
type Checker struct{ o Options }

// New makes a checker.
func New(o Options) *Checker { return &Checker{o} }

// Case is what was found out of one task.
type Case struct {
	Names    uint64    // version of the user database when it was accepted; 0: by an earlier monitor
	rejudged *rejudged // nil: that was not asked
	judging  bool      // it is being asked
}

// bound says whether a task's action still is what it was. A version before recorded the
// digest of the whole manifest.
func bound(module *manifest.Module, t *state.Task) bool {
	a := module.Actions[t.Action]
	return a != nil && (a.Digest == t.Terms.Manifest || module.Digest == t.Terms.Manifest)
}

// Bar is why a task that was accepted may not be started any more, and how it ends
// for that: deputy.Expired or deputy.Rejected, or deputy.Failed where the machine lacks
// what it needs. The zero one: it may.
type Bar struct {
	As  deputy.State
	Why string // one sentence
}

// Changed bars a task of which the policy in force knows another action, or
// none, than the one that was accepted.
func Changed() Bar {
	return Bar{deputy.Rejected, "its action was changed while it waited"}
}

// rejudged is what the policy says of a task that has waited.
type rejudged struct {
	by    *policy.Policy
	names uint64 // version of the user database
	bar   Bar
}

// StillAllowed says why a task may not be started any more: it is too late, or
// the policy in force, or who has the names in it, is not what it was accepted
// under and forbids it. What has to be found out for that is found beside the loop;
// asked: it is, and again is called then.
func (c *Checker) StillAllowed(t *state.Task, k *Case, again func()) (barred Bar, asked bool) {
	if late := c.Late(t); late != (Bar{}) {
		return late, false
	}
	module, names := c.o.Policy().Set().Modules[t.Module], c.o.Users.Version()
	id := c.identity(t)
	if t.Policy == c.o.Policy().Set().Digest && (k.Names == 0 || k.Names == names) && len(id.GIDs) == len(t.Terms.GIDs) {
		return Bar{}, false
	}
	if module == nil || !bound(module, t) {
		return Changed(), false
	}
	if before := k.rejudged; before != nil && before.by == c.o.Policy() && before.names == names && !k.judging {
		return before.bar, false
	}
	if k.judging { // it goes on by itself
		return Bar{}, true
	}
	now, params := &rejudged{by: c.o.Policy(), names: names}, t.Params
	k.judging = true
	account := string(c.o.Callers.Account(t.Caller))
	go c.o.InTurn(account, func() {
		if _, _, refusal := now.by.Recheck(id, t.Module, t.Action, params); refusal != nil { // which never change
			now.bar = Bar{deputy.Rejected, "it was not started: it is not allowed any more: " + refusal.Detail}
			if refusal.Code == deputy.CannotEnforce { // nobody forbids it: it fails as one that has not waited does
				now.bar.As = deputy.Failed
			}
		}
		c.o.Loop.Post(func() {
			k.rejudged, k.judging = now, false
			again()
		})
	})
	return Bar{}, true
}

func (c *Checker) identity(t *state.Task) policy.Identity {
	id := policy.Identity{Caller: t.Caller, UID: t.Terms.UID, GIDs: t.Terms.GIDs, GroupSIDs: t.Terms.GroupSIDs, Name: c.o.Callers.Name(t.Caller), EndUser: t.EndUser}
	c.o.Callers.Reduce(&id)
	return id
}

// Late bars a task whose time to be started in is over.
func (c *Checker) Late(t *state.Task) Bar {
	if t.Terms.WithinMS == 0 || c.Left(t) > 0 {
		return Bar{}
	}
	return Bar{deputy.Expired, fmt.Sprintf("it was not started: %v had passed since it was accepted (start_within)", t.Terms.Within())}
}

// Left is the time that a task has left to be started in.
func (c *Checker) Left(t *state.Task) time.Duration {
	return t.Terms.Within() - c.o.Loop.Since(t.Accepted.Boot, t.Accepted.NS, t.Created.Time)
}
