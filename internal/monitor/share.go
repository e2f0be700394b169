package monitor

// share is how many connections whoever may have.
type share struct {
	capacity capacity
	each     func() int // of one user
	operator func(uid uint32) bool
}

// of judges one more connection of a user who has open ones, of all that there
// are. A few beyond a limit, over the user's own or full for all, are told so by
// the server; more are refused without a word. The last share is the operators'
// alone, who must get in however many others there are.
func (s share) of(uid uint32, open, all int) (over, full, refused bool) {
	limit, most := s.each(), s.capacity.told()
	if s.operator(uid) {
		most = s.capacity.connections
	} else {
		full = all >= s.capacity.ordinary()
	}
	return open >= limit, full, open >= 2*limit || all >= most
}
