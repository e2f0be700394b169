package monitor

import (
	"deputy"
	"deputy/internal/monitor/admission"
	"deputy/internal/monitor/policy"
	"deputy/internal/wall"
)

// signed serves a request that names its caller by a signature. It runs beside the loop.
func (m *Monitor) signed(peer *wall.Peer, r *wall.Request) {
	by, wanted, refusal := m.signers.Prove(r)
	if refusal != nil {
		m.loop.Do(func() { m.signedReply(peer, r, policy.Identity{}).Refuse(0, refusal) })
		return
	}
	id := policy.Identity{Caller: by, EndUser: wanted.EndUser}
	j := m.admission.Judge(wanted, id)
	m.loop.Do(func() { m.serveSigned(peer, wanted, id, j) })
}

// serveSigned does what a verified request asks for, once the next monitor will
// know of its nonce.
func (m *Monitor) serveSigned(peer *wall.Peer, wanted *wall.Request, id policy.Identity, j *admission.Judged) {
	a := asked{wanted, id, j, m.signedReply(peer, wanted, id)}
	if refusal := m.signers.TooEarly(wanted); refusal != nil {
		a.reply.Refuse(0, refusal)
		return
	}
	switch {
	case wanted.Kind == wall.Call: // its record has the nonce
		m.handle(a)
	case !wanted.Kind.Reads():
		m.signers.Spend(wanted, id.Caller)
		m.handle(a)
	default:
		m.ledger.WhenDurable(m.signers.Lease(wanted), func(uint64) { m.handle(a) }, func(err *deputy.Error) { a.reply.Refuse(0, err) })
	}
}

// signedReply answers a request that id has signed.
func (m *Monitor) signedReply(peer *wall.Peer, r *wall.Request, id policy.Identity) *signedReply {
	return &signedReply{
		reply: reply{ledger: m.ledger, peer: peer, r: r},
		lease: func() uint64 {
			if r.Nonce == nil || r.Kind.Reads() {
				return 0
			}
			return m.signers.Lease(r)
		},
		rights: func() deputy.Rights { return m.policy.Load().Rights(id) },
	}
}
