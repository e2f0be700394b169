package httpapi

import (
	"errors"
	"net/http"
	"sync"

	"deputy"
	"deputy/internal/signature"
	"deputy/internal/wall"
)

// proof is what a request over TCP shows of its caller.
type proof struct {
	authorization string
	key           string // Idempotency-Key, which the signature covers whatever the request
	claimed       deputy.Caller
	used          bool // the monitor was asked: a signature is good once
}

// readAuthorization refuses what cannot be authentic, before more of the
// request is read.
func (x *exchange) readAuthorization() error {
	values := x.r.Header["Authorization"]
	switch {
	case len(values) == 0:
		return deputy.Refuse(deputy.NotAuthenticated, "cannot tell who asks: over TCP each request must be signed; add Authorization: Deputy1 id=…,ts=…,nonce=…,sig=…")
	case len(values) > 1:
		return badRequest("cannot tell who asks: Authorization stands twice; send it once")
	}
	a, err := signature.Parse(values[0])
	if err != nil {
		return deputy.Refuse(deputy.NotAuthenticated, "%v", err)
	}
	key, err := idempotencyKey(x.r.Header["Idempotency-Key"])
	if err != nil {
		return err
	}
	x.proof = proof{authorization: values[0], key: key, claimed: deputy.Caller("key:" + a.ID)}
	if x.api.keys.full(x.proof.claimed, x.api.Greeting.Connections) {
		return &deputy.Error{Code: deputy.RateLimited, RetryAfter: 1,
			Detail: "cannot take this request: " + string(x.proof.claimed) + " has too many that are being answered; end some, or the administrator raises per_caller.connections"}
	}
	return nil
}

// identify has the monitor verify a request that the server itself answers.
func (x *exchange) identify() error {
	_, err := x.ask(wall.Request{})
	return err
}

// signed is the request as it came, for the monitor to verify over its exact
// bytes and to derive from them what is asked for.
func (x *exchange) signed() (wall.Request, error) {
	if x.proof.used {
		return wall.Request{}, errors.New("a signed request was about to be sent to the monitor twice")
	}
	x.proof.used = true
	x.peer.remote.busy()
	return wall.Request{
		Kind: wall.Signed, Transport: wall.HTTP, Authorization: x.proof.authorization, Method: x.r.Method,
		Target: x.r.RequestURI, Key: x.proof.key, EndUser: x.endUser, Body: x.body,
	}, nil
}

// beforeBody checks what can be known of a request over TCP before its body is
// read.
func (x *exchange) beforeBody() error {
	if x.r.Method == http.MethodPost {
		if err := x.checkContentType(); err != nil {
			return err
		}
	}
	if err := x.readAuthorization(); err != nil {
		return err
	}
	return nil
}

// signedRights are those that the monitor gave with its answer.
func (x *exchange) signedRights() (*deputy.Rights, error) {
	switch rights := x.peer.rights[x.endUser]; {
	case rights == nil:
		return nil, errors.New("the rights of a signed request are not known before it is verified")
	case x.peer.policy != x.api.policy.Load():
		return nil, errPolicyChanged
	default:
		return rights, nil
	}
}

// verified takes over what the monitor says of the key that signed. now is the
// policy under which it was asked.
func (x *exchange) verified(o *wall.Outcome, now *policy) {
	if x.peer.remote == nil || o.Rights == nil {
		return
	}
	p := x.peer
	p.caller, p.policy = o.Rights.Caller, now
	p.rights = map[string]*deputy.Rights{x.endUser: o.Rights}
	p.actions = o.Actions
	if p.actions == nil {
		p.actions = []deputy.ActionInfo{}
	}
	x.api.keys.add(p.caller, 1)
	x.counted = p.caller
}

// errPolicyChanged ends what was begun under a policy that is no longer in
// force: only the request itself could show what its caller may now.
var errPolicyChanged = &deputy.Error{Code: deputy.NotDurable, RetryAfter: 1,
	Detail: "cannot go on: the policy was changed meanwhile; sign the request anew, and ask again"}

// callers counts the requests over TCP that are being answered, by caller.
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
