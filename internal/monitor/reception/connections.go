package reception

import (
	"sync"
	"sync/atomic"
	"time"

	"deputy"
	"deputy/internal/monitor/clock"
	"deputy/internal/monitor/policy"
	"deputy/internal/wall"
)

// A number stands for one connection and is never given twice; who is at its other end
// was asked of the kernel before it was given. It outlives its peer by a moment, so that
// what was asked just before is still answered. Of each account there are no more than
// its share.

// numberLife is that of a connection's number after its peer has closed.
const numberLife = 5 * time.Second

// connections are those that were accepted and identified, by their numbers. A
// duplicate of each descriptor is kept, to see the peer go.
type connections struct {
	share    atomic.Pointer[Share]
	account  func(deputy.Caller) deputy.Caller // whose connections a caller's are; nil: its own
	capacity capacity                          // of this process
	closeFD  func(fd int)                      // of a duplicate, out of whatever watches it

	mu        sync.Mutex // guards what follows
	door      *wall.Door // nil: no server lives, the backlog waits
	retiring  bool       // the server is to end: nothing more goes through its door
	last      uint64
	byNumber  map[uint64]*connection
	byFD      map[int]*connection
	perCaller map[deputy.Caller]int // by account
	gone      []*connection         // their peers have closed, the first to do so first: numbers that still live
	pace      pace
}

type connection struct {
	number     uint64
	fd         int // -1 once the peer has closed; a handle on Windows
	who        policy.Identity
	account    deputy.Caller // whose limits count
	over, full bool          // as Share.of has them
	line       bool          // it came to a socket where 'Key: Value' is spoken
	due        time.Time     // when it has its turn; see pace
	first      byte          // on Windows: the first byte that came
	gone       time.Time     // when the peer closed
}

// begin readies for the first connection.
func (r *connections) begin(account func(deputy.Caller) deputy.Caller, closeFD func(fd int)) {
	r.account, r.closeFD = account, closeFD
	r.byNumber, r.byFD, r.perCaller = map[uint64]*connection{}, map[int]*connection{}, map[deputy.Caller]int{}
	r.pace.ahead = map[deputy.Caller]time.Time{}
	// Numbers of an earlier monitor are not used again either: the boot clock is
	// ahead of them, and no server lives longer than it runs.
	r.last = uint64(clock.Now())
}

// MaxTasks is how many tasks may live, so that connections find descriptors, too.
func (r *connections) MaxTasks() int { return r.capacity.tasks }

// admit takes a connection, if its user may have one more; otherwise nil. mu is held.
func (r *connections) admit(fd int, who policy.Identity) (c *connection) {
	account := who.Caller
	if r.account != nil {
		account = r.account(account)
	}
	share := r.share.Load()
	over, full, refused := share.of(r.capacity, who, r.perCaller[account], len(r.byFD))
	if r.door == nil || refused {
		return nil
	}
	var due time.Time
	if !share.Operator(who.Caller) {
		var ok bool
		if due, ok = r.pace.next(account, time.Now(), paceOf(share.Requests, share.Span), share.Connections); !ok {
			return nil
		}
	}
	r.last++
	c = &connection{number: r.last, fd: fd, who: who, account: account, over: over, full: full, due: due}
	r.byFD[fd] = c
	r.perCaller[account]++
	return c
}

// passes says whether a connection is passed on at once; otherwise it waits its
// turn. mu is held.
func (r *connections) passes(c *connection) bool {
	if c.due.After(time.Now()) {
		r.pace.park(c)
		return false
	}
	return true
}

// pass hands a connection to the server; its number lives from here on.
func (r *connections) pass(c *connection) {
	r.mu.Lock()
	door, fd := r.door, c.fd
	if fd < 0 || door == nil {
		r.mu.Unlock()
		return
	}
	r.byNumber[c.number] = c
	r.mu.Unlock()
	sid, _ := c.who.Caller.SID()
	passed := wall.Connection{Number: c.number, UID: c.who.UID, SID: sid, First: c.first, Over: c.over, Full: c.full, Line: c.line}
	if owner, ok := c.account.UID(); ok && c.account != c.who.Caller {
		passed.Lent, passed.Owner = true, owner
	}
	if err := door.Send(passed, fd); err != nil { // the server is going; the peer is told by the close
		r.hangup(fd, func(now *connection) bool { return now == c })
	}
}

// passLate passes on those that have waited for their turn, and says how long
// the next one waits.
func (r *connections) passLate(atMost time.Duration) time.Duration {
	r.mu.Lock()
	pass, wait := r.pace.due(time.Now(), atMost)
	r.mu.Unlock()
	for _, c := range pass {
		r.pass(c)
	}
	return wait
}

// release takes a connection back; its descriptor is its caller's. mu is held.
func (r *connections) release(c *connection) {
	delete(r.byFD, c.fd)
	c.fd, c.gone = -1, time.Now()
	if r.byNumber[c.number] == c {
		r.gone = append(r.gone, c)
	}
	if r.perCaller[c.account]--; r.perCaller[c.account] <= 0 {
		delete(r.perCaller, c.account)
	}
}

// drop closes our duplicate; mu is held.
func (r *connections) drop(fd int, c *connection) {
	r.closeFD(fd)
	r.release(c)
}

// forget drops every connection and its number; mu is held.
func (r *connections) forget() {
	for fd, c := range r.byFD {
		r.drop(fd, c)
	}
	clear(r.byNumber)
	r.gone = nil
	r.pace.late = nil
}

// Identity says who is at the other end of a connection, if its number lives.
func (r *connections) Identity(number uint64) (policy.Identity, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.byNumber[number]
	if c == nil || c.fd < 0 && time.Since(c.gone) > numberLife {
		return policy.Identity{}, false
	}
	return c.who, true
}

// hangup ends a connection whose peer has gone, if it has not ended already.
func (r *connections) hangup(fd int, is func(*connection) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.byFD[fd]; c != nil && is(c) {
		r.drop(fd, c)
	}
}

// sweep forgets numbers that have died.
func (r *connections) sweep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	dead := 0
	for dead < len(r.gone) && time.Since(r.gone[dead].gone) > numberLife {
		delete(r.byNumber, r.gone[dead].number)
		dead++
	}
	r.gone = r.gone[dead:]
}

func (r *connections) serves() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.door != nil && !r.retiring
}
