package signers

import (
	"deputy"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/state"
	"deputy/internal/wall"
)

// Nothing that was signed before a monitor began is accepted by it if an earlier one may
// have answered it. So before a request is answered of which no record has the nonce, a
// lease that covers it is durable.

// Begin takes over what the state says of the leases of the monitor before. unleased:
// it may have answered without one.
func (s *Signers) Begin(unleased bool) {
	s.floors = s.State.Nonces.Leases()
	if unleased {
		s.floor = s.Loop.Wall().Unix()
	}
}

// TooEarly refuses what was signed when an earlier monitor may have answered it; nil:
// it was not.
func (s *Signers) TooEarly(asked *wall.Request) *deputy.Error {
	if asked.Nonce == nil {
		return nil
	}
	floor := max(s.floor, s.floors[leaseOf(asked)])
	if asked.Nonce.Time > floor {
		return nil
	}
	e := deputy.Refuse(deputy.NotDurable,
		"cannot take this request yet: it was signed before deputy was started, or within %d s of it; sign it anew, and ask again in a moment", state.LeaseTime)
	e.RetryAfter = int(max(1, floor+1-s.Loop.Wall().Unix())) // then a fresh signature is good
	return e
}

// Spend records the nonce of what is done without a record that has it. What cannot be
// recorded is done all the same: a stop that is sent again to the next monitor stops the
// same task, and so nothing.
func (s *Signers) Spend(asked *wall.Request, by deputy.Caller) {
	if s.Ledger.Unwritable() == nil {
		s.Ledger.Record(&deputy.Event{Type: deputy.NonceUsed, Caller: by, Nonce: asked.Nonce}, ledger.After{})
	}
}

// leaseOf names the lease under which a signed request is answered if nothing
// is recorded of it.
func leaseOf(r *wall.Request) state.Lease {
	if r.Kind.Reads() {
		return state.Lease{Secret: r.Nonce.Secret, Kind: state.LeaseReads}
	}
	return state.Lease{Secret: r.Nonce.Secret, Kind: state.LeaseRefused}
}

// Lease sees to it that a signed request can be answered without a record of
// its nonce, and gives the record that must be durable before.
func (s *Signers) Lease(r *wall.Request) uint64 {
	l := leaseOf(r)
	if r.Nonce.Time > s.State.Nonces.Leased(l) && s.Ledger.Unwritable() == nil {
		s.Ledger.Record(&deputy.Event{Type: deputy.NonceUsed, Nonce: &deputy.Nonce{Secret: l.Secret, Nonce: l.Kind, Time: r.Nonce.Time + state.LeaseTime}}, ledger.After{})
		s.leases[l] = s.Ledger.Last()
	}
	return s.leases[l]
}

// TakenBack: numbers of records behind the durable one are none any more, and given anew.
func (s *Signers) TakenBack(durable uint64) {
	for l, seq := range s.leases {
		s.leases[l] = min(seq, durable)
	}
}

// LeaseMissed makes the leases for what was answered while none was recorded.
func (s *Signers) LeaseMissed() {
	for secret := range s.recent {
		for _, kind := range []string{state.LeaseReads, state.LeaseRefused} {
			l, newest := state.Lease{Secret: secret, Kind: kind}, s.recent.Newest(secret)
			if newest > s.State.Nonces.Leased(l) {
				s.Ledger.Record(&deputy.Event{Type: deputy.NonceUsed, Nonce: &deputy.Nonce{Secret: secret, Nonce: kind, Time: newest}}, ledger.After{})
				s.leases[l] = s.Ledger.Last()
			}
		}
	}
}

// EndLeases shortens them to what was answered indeed, for a next monitor that
// is started at once.
func (s *Signers) EndLeases() {
	for l, until := range s.State.Nonces.Leases() {
		if last := max(s.recent.Newest(l.Secret), s.floors[l]); last < until && s.Ledger.Unwritable() == nil {
			s.Ledger.Record(&deputy.Event{Type: deputy.NonceUsed, Nonce: &deputy.Nonce{Secret: l.Secret, Nonce: l.Kind, Time: last}}, ledger.After{})
		}
	}
}
