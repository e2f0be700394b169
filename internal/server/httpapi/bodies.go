package httpapi

import (
	"net"
	"sync"

	"deputy"
)

// bodies bounds what the bodies of requests may hold of the memory, from the
// first byte of each until the monitor has answered. Those of the default size
// have a room of their own, so that a few large ones do not keep them out.
type bodies struct {
	small, large room
}

// room is so many bytes, and how many of them whoever sends may have.
type room struct {
	all, each int64

	mu   sync.Mutex // guards what follows
	used int64
	by   map[string]int64 // by sender
}

// Memory is taken several times for each byte: as it came, as values, and as
// the wall's message. The largest body of all finds room if nobody has any.
const (
	smallRoom = 8 << 20 // bytes of bodies up to the default size
	smallEach = smallRoom / 4
	largeRoom = 24 << 20
	largeEach = 16<<20 + 1 // a byte more is read than the largest may have
)

func newBodies() *bodies {
	return &bodies{
		small: room{all: smallRoom, each: smallEach, by: map[string]int64{}},
		large: room{all: largeRoom, each: largeEach, by: map[string]int64{}},
	}
}

func (r *room) take(who string, n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.by[who]+n > r.each:
		return &deputy.Error{Code: deputy.RateLimited, RetryAfter: 1,
			Detail: "cannot take this body now: others of the same sender are under way, as many as may be; ask again"}
	case r.used+n > r.all:
		return &deputy.Error{Code: deputy.NotDurable, RetryAfter: 1,
			Detail: "cannot take this body now: those that are under way fill the room for bodies; nothing was started, ask again"}
	}
	r.used += n
	r.by[who] += n
	return nil
}

func (r *room) give(who string, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= n
	if r.by[who] -= n; r.by[who] == 0 {
		delete(r.by, who)
	}
}

// hold is what one body has of the room.
type hold struct {
	of           *bodies
	who          string
	small, large int64
}

// grow makes the hold so many bytes, or leaves it as it is.
func (h *hold) grow(n int64) error {
	if n <= defaultBody+1 {
		if err := h.of.small.take(h.who, n-h.small); err != nil {
			return err
		}
		h.small = n
		return nil
	}
	if err := h.of.large.take(h.who, n-h.large); err != nil {
		return err
	}
	if h.small > 0 {
		h.of.small.give(h.who, h.small)
	}
	h.small, h.large = 0, n
	return nil
}

func (h *hold) free() {
	if h.small > 0 {
		h.of.small.give(h.who, h.small)
	}
	if h.large > 0 {
		h.of.large.give(h.who, h.large)
	}
	h.small, h.large = 0, 0
}

// roomForBody is where the body of x finds its room. Over TCP whoever sends is
// known by the host alone.
func (x *exchange) roomForBody() hold {
	if x.peer.remote == nil {
		return hold{of: x.api.local, who: string(x.peer.Account())}
	}
	host, _, _ := net.SplitHostPort(x.r.RemoteAddr) // of net/http: it has both
	return hold{of: x.api.network, who: host}
}
