// Package share divides what the server has among those who send: memory for what
// they send, and processors for what is dear to answer.
package share

import (
	"sync"

	"deputy"
)

// DefaultBody is the longest body of an action that declares nothing, and of
// whatever is no action, in bytes.
const DefaultBody = 64 << 10

// Bodies bounds what the bodies of requests may hold of the memory, from the
// first byte of each until the monitor has answered. Those of the default size
// have a room of their own, so that a few large ones do not keep them out.
type Bodies struct {
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

// NewBodies makes rooms that nobody has anything of.
func NewBodies() *Bodies {
	return &Bodies{
		small: room{all: smallRoom, each: smallEach, by: map[string]int64{}},
		large: room{all: largeRoom, each: largeEach, by: map[string]int64{}},
	}
}

func (r *room) take(who string, n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.by[who]+n > r.each:
		return tooMany()
	case r.used+n > r.all:
		return &deputy.Error{Code: deputy.NotDurable, RetryAfter: 1,
			Detail: "cannot take this body now: those that are under way fill the room for bodies; nothing was started, ask again"}
	}
	r.used += n
	r.by[who] += n
	return nil
}

func tooMany() error {
	return &deputy.Error{Code: deputy.RateLimited, RetryAfter: 1,
		Detail: "cannot take this body now: others of the same sender are under way, as many as may be; ask again"}
}

func (r *room) give(who string, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= n
	if r.by[who] -= n; r.by[who] == 0 {
		delete(r.by, who)
	}
}

// Hold is what one body has of the room.
type Hold struct {
	of           *Bodies
	who          string
	small, large int64
}

// Hold begins one of whoever sends, without a byte yet.
func (b *Bodies) Hold(who string) Hold { return Hold{of: b, who: who} }

// Grow makes the hold so many bytes, or leaves it as it is.
func (h *Hold) Grow(n int64) error {
	if n <= DefaultBody+1 {
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

// Free gives all of it back.
func (h *Hold) Free() {
	if h.small > 0 {
		h.of.small.give(h.who, h.small)
	}
	if h.large > 0 {
		h.of.large.give(h.who, h.large)
	}
	h.small, h.large = 0, 0
}
