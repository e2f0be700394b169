package reception

import "deputy/internal/monitor/policy"

// of judges one more connection of a caller who has open ones, of all that there
// are. A few beyond a limit, over the user's own or full for all, are told so by
// the server; more are refused without a word. The last part is the operators'
// alone, who must get in however many others there are.
func (s *Share) of(c capacity, who policy.Identity, open, all int) (over, full, refused bool) {
	limit, most := s.Connections, c.told()
	if s.Operator(who.Caller) {
		most = c.connections
	} else {
		full = all >= c.ordinary()
	}
	return open >= limit, full, open >= 2*limit || all >= most
}
