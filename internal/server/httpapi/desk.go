package httpapi

import (
	"net"

	"deputy/internal/server/share"
)

// cheapBody is how long a body may be that waits for none of its sender's others, in
// bytes.
const cheapBody = 4 << 10

// longAtOnce is how many of one sender's longer bodies are under way, from the first
// byte until the monitor has answered, which serves one of them at a time.
const longAtOnce = 16

// sender is who sends, and which room the body of x has. Over TCP whoever sends is
// known by the host alone.
func (x *exchange) sender() (who string, room share.Hold) {
	if x.peer.remote == nil {
		who = string(x.peer.Account())
		return who, x.api.local.Hold(who)
	}
	host, _, _ := net.SplitHostPort(x.r.RemoteAddr) // of net/http: it has both
	return "tcp:" + host, x.api.network.Hold(host)
}

// work waits until it is this sender's turn to have something dear done: of all that
// one sends there is as much at work as leaves processors to the others. rest ends
// it, and must come before anything that waits.
func (x *exchange) work() error {
	if x.working != nil {
		return nil
	}
	leave, err := x.api.work.Enter(x.r.Context(), x.who)
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
	leave, err := x.api.long.EnterBody(x.r.Context(), x.who)
	x.sending = leave
	return err
}
