package requests

import (
	"deputy"
	"deputy/internal/monitor/admission"
	"deputy/internal/monitor/policy"
	"deputy/internal/wall"
)

// Signed serves a request that names its caller by a signature. It runs beside the loop.
func (q *Requests) Signed(peer *wall.Peer, r *wall.Request) {
	by, wanted, refusal := q.Signers.Prove(r)
	if refusal != nil {
		q.Loop.Do(func() { q.signedReply(peer, r, policy.Identity{}).Refuse(0, refusal) })
		return
	}
	id := policy.Identity{Caller: by, EndUser: wanted.EndUser}
	j := q.Admission.Judge(wanted, id)
	q.Loop.Do(func() { q.serveSigned(peer, wanted, id, j) })
}

// serveSigned does what a verified request asks for, once the next monitor will
// know of its nonce.
func (q *Requests) serveSigned(peer *wall.Peer, wanted *wall.Request, id policy.Identity, j *admission.Judged) {
	a := Asked{wanted, id, j, q.signedReply(peer, wanted, id)}
	if refusal := q.Signers.TooEarly(wanted); refusal != nil {
		a.Reply.Refuse(0, refusal)
		return
	}
	switch {
	case wanted.Kind == wall.Call: // its record has the nonce
		q.Handle(a)
	case !wanted.Kind.Reads():
		q.Signers.Spend(wanted, id.Caller)
		q.Handle(a)
	default:
		q.Ledger.WhenDurable(q.Signers.Lease(wanted), func(uint64) { q.Handle(a) }, func(err *deputy.Error) { a.Reply.Refuse(0, err) })
	}
}

// signedReply answers a request that id has signed.
func (q *Requests) signedReply(peer *wall.Peer, r *wall.Request, id policy.Identity) *signedReply {
	return &signedReply{
		reply: reply{ledger: q.Ledger, peer: peer, r: r},
		lease: func() uint64 {
			if r.Nonce == nil || r.Kind.Reads() {
				return 0
			}
			return q.Signers.Lease(r)
		},
		rights: func() deputy.Rights { return q.Policy().Rights(id) },
	}
}
