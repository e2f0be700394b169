package monitor

import (
	"deputy"
	"deputy/internal/wall"
)

// answer gives an outcome to whoever asked, if its server still lives.
func (m *Monitor) answer(peer *wall.Peer, r *wall.Request, seq uint64, o wall.Outcome) {
	peer.Answer(r, seq, o)
}

func (m *Monitor) refuse(peer *wall.Peer, r *wall.Request, err *deputy.Error) {
	m.refuseAfter(0, peer, r, err)
}

// refuseAfter answers with a refusal once the record seq is durable, and for a
// signed request once it is durable that the next monitor will not do what this
// one refused.
func (m *Monitor) refuseAfter(seq uint64, peer *wall.Peer, r *wall.Request, err *deputy.Error) {
	if r.Nonce != nil && !reads(r) {
		seq = max(seq, m.lease(r))
	}
	if seq == 0 {
		peer.Answer(r, 0, wall.Outcome{Error: err})
		return
	}
	m.ledger.WhenDurable(seq, func(seq uint64) { peer.Answer(r, seq, wall.Outcome{Error: err}) },
		func(lost *deputy.Error) { peer.Answer(r, 0, wall.Outcome{Error: lost}) })
}
