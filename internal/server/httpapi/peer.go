package httpapi

import (
	"net"
	"net/http"
	"slices"

	"deputy"
	"deputy/internal/wall"
)

// peer is who is at the other end of a connection. A connection's requests are
// answered one after another, so nothing here is locked.
type peer struct {
	wall.Connection
	caller deputy.Caller // over TCP: once the request is verified
	spoken *spoken       // what net/http says and hears
	remote *remote       // of TCP; nil: a Unix socket. What follows is then one request's

	policy  *policy                   // what follows was asked for under this policy
	rights  map[string]*deputy.Rights // by end user
	actions []deputy.ActionInfo       // nil: not asked for
}

type peerKey struct{}

func newPeer(c net.Conn) *peer {
	if c, ok := c.(*remote); ok {
		return &peer{remote: c, spoken: &c.spoken}
	}
	local := c.(*conn)
	return &peer{Connection: local.Connection, caller: local.Caller(), spoken: &local.spoken}
}

func peerOf(r *http.Request) *peer { return r.Context().Value(peerKey{}).(*peer) }

// done makes the peer ready for its next request.
func (p *peer) done() {
	p.spoken.end()
	if p.remote != nil {
		p.caller, p.policy, p.rights, p.actions = "", nil, nil, nil
		p.remote.idle()
	}
}

// maxEndUsers is how many end users' rights are kept for one connection.
const maxEndUsers = 64

// current forgets what was asked for under another policy than the one in force.
func (p *peer) current(now *policy) {
	if p.policy != now || len(p.rights) > maxEndUsers {
		p.policy, p.rights, p.actions = now, map[string]*deputy.Rights{}, nil
	}
}

// rights says what the caller may beyond its own tasks.
func (x *exchange) rights() (*deputy.Rights, error) {
	if x.peer.remote != nil {
		return x.signedRights()
	}
	x.peer.current(x.api.policy.Load())
	if r := x.peer.rights[x.endUser]; r != nil {
		return r, nil
	}
	outcome, err := x.ask(wall.Request{Kind: wall.Rights, EndUser: x.endUser})
	if err != nil {
		return nil, err
	}
	if outcome.Rights == nil {
		outcome.Rights = &deputy.Rights{Caller: x.peer.caller}
	}
	x.peer.rights[x.endUser] = outcome.Rights
	return outcome.Rights, nil
}

// actions gives what the caller may use.
func (x *exchange) actions() ([]deputy.ActionInfo, error) {
	if x.peer.remote != nil {
		return x.peer.actions, nil
	}
	now := x.api.policy.Load()
	x.peer.current(now)
	if x.peer.actions != nil {
		return x.peer.actions, nil
	}
	outcome, err := x.ask(wall.Request{Kind: wall.Actions})
	if err != nil {
		return nil, err
	}
	if outcome.Actions == nil {
		outcome.Actions = []deputy.ActionInfo{}
	}
	now.learn(x.peer.caller, outcome.Actions)
	x.peer.actions = outcome.Actions
	return outcome.Actions, nil
}

// action finds one of the actions that the caller may use; nil: it is not
// among them.
func (x *exchange) action() (*deputy.ActionInfo, error) {
	actions, err := x.actions()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(actions, func(a deputy.ActionInfo) bool {
		return a.Module == x.target.module && a.Action == x.target.action
	})
	if i < 0 {
		return nil, nil
	}
	return &actions[i], nil
}
