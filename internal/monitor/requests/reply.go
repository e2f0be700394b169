package requests

import (
	"deputy"
	"deputy/internal/monitor/ledger"
	"deputy/internal/wall"
)

// reply answers a request of the server, if that still lives. It records nothing.
type reply struct {
	ledger *ledger.Ledger
	peer   *wall.Peer
	r      *wall.Request
}

func (y *reply) Answer(seq uint64, o wall.Outcome) { y.peer.Answer(y.r, seq, o) }

func (y *reply) Text(outcome []byte) { y.peer.AnswerText(y.r, 0, outcome) }

func (y *reply) Refuse(after uint64, err *deputy.Error) {
	if after == 0 {
		y.Answer(0, wall.Outcome{Error: err})
		return
	}
	y.ledger.WhenDurable(after, func(seq uint64) { y.Answer(seq, wall.Outcome{Error: err}) },
		func(lost *deputy.Error) { y.Answer(0, wall.Outcome{Error: lost}) })
}

// signedReply answers what was signed: for the server it names who asked, and a refusal
// waits until it is durable that the next monitor will not do what this one refused.
type signedReply struct {
	reply
	lease  func() (after uint64) // 0: it changes nothing, whoever answers it
	rights func() deputy.Rights
}

func (y *signedReply) Answer(seq uint64, o wall.Outcome) {
	if o.Rights == nil && o.Error == nil {
		rights := y.rights()
		o.Rights = &rights
	}
	y.reply.Answer(seq, o)
}

func (y *signedReply) Refuse(after uint64, err *deputy.Error) {
	y.reply.Refuse(max(after, y.lease()), err)
}
