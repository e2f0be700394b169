package monitor

import (
	"time"

	"deputy"
	"deputy/internal/monitor/policy"
)

// share is how many connections whoever may have.
type share struct {
	capacity capacity
	each     func() int           // of one user
	pause    func() time.Duration // between two of one user, see pace
	operator func(policy.Identity) bool
	account  func(deputy.Caller) deputy.Caller // whose connections a caller's are; nil: its own
}

// of judges one more connection of a caller who has open ones, of all that there
// are. A few beyond a limit, over the user's own or full for all, are told so by
// the server; more are refused without a word. The last share is the operators'
// alone, who must get in however many others there are.
func (s share) of(who policy.Identity, open, all int) (over, full, refused bool) {
	limit, most := s.each(), s.capacity.told()
	if s.operator(who) {
		most = s.capacity.connections
	} else {
		full = all >= s.capacity.ordinary()
	}
	return open >= limit, full, open >= 2*limit || all >= most
}

// share is that of this monitor, as its policy is when it is asked.
func (m *Monitor) share() share {
	return share{
		capacity: m.capacity, each: func() int { return int(m.connections.Load()) },
		pause:    func() time.Duration { return time.Duration(m.pause.Load()) },
		operator: func(who policy.Identity) bool { return m.deciding.Load().Operator(who.Caller) },
		account:  m.account,
	}
}
