// Package reception is where callers come in. It listens, asks the kernel of each
// connection there and then who is at the other end, gives it a number that is
// never used again, and passes it through the door to the server. That number is
// all that the server can say of a caller: Identity tells who it was.
//
// Nothing here reads what callers send, and nothing of a connection is passed on
// before its peer is known.
package reception

import (
	"time"

	"deputy"
)

// Share is how much whoever may connect, as the policy in force says.
type Share struct {
	Connections int           // of one account, at the same time
	Requests    int           // of one account within Span
	Span        time.Duration // see paceOf
	Operator    func(deputy.Caller) bool
}

// Adopt puts another share in force. It comes before the first connection.
func (r *connections) Adopt(s Share) { r.share.Store(&s) }
