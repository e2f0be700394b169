package asker

import (
	"context"
	"sync"

	"deputy"
	"deputy/internal/wall"
)

// Claim refuses a signed request whose claimed caller has as many being answered
// as it may. Whether it is that caller's is not known before it is verified.
func (a *Asker) Claim(caller deputy.Caller) error {
	if !a.session.of.signed.full(caller, a.session.of.each) {
		return nil
	}
	return &deputy.Error{Code: deputy.RateLimited, RetryAfter: 1,
		Detail: "cannot take this request: " + string(caller) + " has too many that are being answered; end some, or the administrator raises per_caller.connections"}
}

// Sign gives the request as it came, of the kind wall.Signed, for the monitor to
// verify over its exact bytes and to derive from them what is asked for. The first
// Ask sends it.
func (a *Asker) Sign(r wall.Request) { a.proof = &r }

// Identify has the monitor verify a request that the server itself answers.
func (a *Asker) Identify(ctx context.Context) error {
	_, err := a.Ask(ctx, wall.Request{Kind: wall.Rights})
	return err
}

// verified takes over what the monitor says of the key that signed. now is the
// policy under which it was asked.
func (a *Asker) verified(o *wall.Outcome, now *policy) {
	s := a.session
	s.caller, s.policy = o.Rights.Caller, now
	s.rights = map[string]*deputy.Rights{a.EndUser: o.Rights}
	s.actions = o.Actions
	if s.actions == nil {
		s.actions = []deputy.ActionInfo{}
	}
	s.of.signed.add(s.caller, 1)
	a.counted = s.caller
}

// ErrPolicyChanged ends what was begun under a policy that is no longer in
// force: only the request itself could show what its caller may now.
var ErrPolicyChanged = &deputy.Error{Code: deputy.NotDurable, RetryAfter: 1,
	Detail: "cannot go on: the policy was changed meanwhile; sign the request anew, and ask again"}

// callers counts the signed requests that are being answered, by caller.
type callers struct {
	mu   sync.Mutex
	live map[deputy.Caller]int
}

// full says whether a caller has as many as it may; 0: as many as it likes.
func (c *callers) full(caller deputy.Caller, limit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return limit > 0 && c.live[caller] >= limit
}

func (c *callers) add(caller deputy.Caller, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live == nil {
		c.live = map[deputy.Caller]int{}
	}
	if c.live[caller] += n; c.live[caller] == 0 {
		delete(c.live, caller)
	}
}
