package httpapi

import "deputy/internal/server/share"

// cheapBody is how long a body may be that waits for none of its sender's others, in
// bytes.
const cheapBody = 4 << 10

// longAtOnce is how many of one sender's longer bodies are under way, from the first
// byte until the monitor has answered, which serves one of them at a time.
const longAtOnce = 16

// bodies is the room that the body of x has a part of.
func (x *exchange) bodies() *share.Bodies {
	if x.peer.remote != nil {
		return x.api.network
	}
	return x.api.local
}

// work waits until it is this sender's turn to have something dear done: of all that
// one sends there is as much at work as leaves processors to the others. rest ends
// it, and must come before anything that waits.
func (x *exchange) work() error {
	if x.working != nil {
		return nil
	}
	leave, err := x.api.work.Enter(x.r.Context(), x.peer.session.Sender())
	x.working = leave
	return err
}

func (x *exchange) rest() {
	if x.working != nil {
		x.working()
		x.working = nil
	}
}

// beginBody waits until the body of x may be read; freeBody ends it.
func (x *exchange) beginBody() error {
	if n := x.r.ContentLength; n >= 0 && n <= cheapBody {
		return nil
	}
	leave, err := x.api.long.EnterBody(x.r.Context(), x.peer.session.Sender())
	x.sending = leave
	return err
}
