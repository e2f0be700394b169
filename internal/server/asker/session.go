package asker

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"deputy"
	"deputy/internal/wall"
)

// Session is who asks over one connection, and what was asked for it. A
// connection's requests are answered one after another, so nothing here is locked.
type Session struct {
	of         *Askers
	connection wall.Connection // of a Unix socket or a pipe
	network    bool            // each request shows its caller by a signature; what follows is then one request's
	sender     string

	caller  deputy.Caller
	policy  *policy                   // what follows was asked for under this policy
	rights  map[string]*deputy.Rights // by end user
	actions []deputy.ActionInfo       // nil: not asked for
}

// Local is a connection that the monitor has accepted and identified.
func (a *Askers) Local(c wall.Connection) *Session {
	return &Session{of: a, connection: c, caller: c.Caller(), sender: string(c.Account())}
}

// Network is a connection from a peer's address: nobody knows yet who asks.
func (a *Askers) Network(peer net.Addr) *Session {
	return &Session{of: a, network: true, sender: "tcp:" + Origin(peer).String()}
}

// Sender is who sends, for its share of what there is: whoever's limits count for
// a local connection, and over a network the origin.
func (s *Session) Sender() string { return s.sender }

// Origin is all that is known of a peer over a network before it shows who it is:
// its address, of IPv6 the network of 64 bits that it lies in.
func Origin(peer net.Addr) netip.Addr {
	address, err := netip.ParseAddrPort(peer.String())
	if err != nil {
		return netip.Addr{}
	}
	ip := address.Addr().Unmap().WithZone("")
	if ip.Is6() {
		if network, err := ip.Prefix(64); err == nil {
			return network.Addr()
		}
	}
	return ip
}

// Refused refuses a connection that is beyond a limit.
func (s *Session) Refused() error {
	switch {
	case s.connection.Over:
		return &deputy.Error{Code: deputy.RateLimited, RetryAfter: 1,
			Detail: "cannot take this connection: " + string(s.caller) + " has too many open; close some, or the administrator raises per_caller.connections"}
	case s.connection.Full:
		return &deputy.Error{Code: deputy.NotDurable, RetryAfter: 1,
			Detail: "cannot take this connection: deputy has as many as the limit of open files allows it; nothing was started, ask again in a moment, or the administrator raises the limit (LimitNOFILE, ulimit -n)"}
	}
	return nil
}

// maxEndUsers is how many end users' rights are kept for one connection.
const maxEndUsers = 64

// current forgets what was asked for under another policy than the one in force.
func (s *Session) current(now *policy) {
	if s.policy != now || len(s.rights) > maxEndUsers {
		s.policy, s.rights, s.actions = now, map[string]*deputy.Rights{}, nil
	}
}

// Asker is who makes one request.
type Asker struct {
	EndUser string // for whom the caller asks; empty: none is named

	session *Session
	proof   *wall.Request // of a signed request: it as it came; nil: none was given, or it was used
	counted deputy.Caller // it counts among this caller's signed requests
}

// Begin begins a request; the one before has ended.
func (s *Session) Begin() Asker { return Asker{session: s} }

// End ends the request.
func (a *Asker) End() {
	s := a.session
	if a.counted != "" {
		s.of.signed.add(a.counted, -1)
		a.counted = ""
	}
	if s.network {
		s.caller, s.policy, s.rights, s.actions = "", nil, nil, nil
	}
}

// Caller is who asks; empty while a signature was not verified yet.
func (a *Asker) Caller() deputy.Caller { return a.session.caller }

// Ask asks the monitor in this asker's name. A refusal is the error. Over a
// network it is the signed request itself that is asked, whatever r is: what the
// signature does not cover is not asked for.
func (a *Asker) Ask(ctx context.Context, r wall.Request) (wall.Outcome, error) {
	s, changes := a.session, !r.Kind.Reads()
	now := s.of.policy.Load()
	if s.network {
		if a.proof == nil {
			return wall.Outcome{}, errors.New("a signed request was about to be sent to the monitor twice, or without its signature")
		}
		r, a.proof = *a.proof, nil // a signature is good once
	} else {
		r.Connection, r.EndUser = s.connection.Number, a.EndUser
	}
	outcome, err := s.of.monitor.Do(ctx, r)
	if s.network && outcome.Rights != nil {
		a.verified(&outcome, now)
	}
	switch {
	case errors.Is(err, context.Canceled): // the client has gone
		return outcome, err
	case err != nil && changes:
		return outcome, &deputy.Error{Code: deputy.OutcomeUnknown, RetryAfter: 1,
			Detail: "cannot say what became of this request: deputy was restarted before it answered; ask again with the same Idempotency-Key, or look at the tasks"}
	case err != nil:
		return outcome, &deputy.Error{Code: deputy.NotDurable, RetryAfter: 1,
			Detail: "cannot answer this request: deputy was restarted before it did; nothing was changed, ask again in a moment"}
	case outcome.Error != nil:
		return outcome, outcome.Error
	}
	return outcome, nil
}
