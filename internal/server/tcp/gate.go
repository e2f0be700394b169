// Package tcp opens the server's TCP listeners and bounds what connections of
// the network may cost, before anybody knows who is at their other end.
package tcp

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"time"

	"deputy/internal/server/asker"
)

// Limits are how many connections may be open.
type Limits struct {
	All  int
	Host int // from one address; of IPv6, from one network of 64 bits
}

// Gate counts the connections of all TCP listeners. Whoever comes when there
// are too many takes the place of the connection that has been idle longest:
// one whose request is not complete, or that waits for its next. So those who
// say nothing, or say it slowly, keep nobody out who speaks.
type Gate struct {
	limits Limits

	mu    sync.Mutex // guards what follows, and the slots
	hosts map[netip.Addr]*host
	open  int
	idle  list.List // of *slot, the longest idle first
}

// host is where connections come from.
type host struct {
	open int
	idle list.List // as Gate's
}

// slot is a connection's place in the gate.
type slot struct {
	raw        net.Conn
	from       netip.Addr
	everywhere *list.Element // in Gate.idle; nil: it is busy, or closed
	here       *list.Element // in host.idle
	closed     bool
}

// NewGate makes a gate without connections.
func NewGate(l Limits) *Gate { return &Gate{limits: l, hosts: map[netip.Addr]*host{}} }

// admit finds a place for a connection, and closes the one that it takes the
// place of; nil: there is none, and nobody to take it from.
func (g *Gate) admit(raw net.Conn) *slot {
	s := &slot{raw: raw, from: asker.Origin(raw.RemoteAddr())}
	g.mu.Lock()
	h := g.hosts[s.from]
	if h == nil {
		h = &host{}
		g.hosts[s.from] = h
	}
	var victims []*slot
	ok := true
	if h.open >= g.limits.Host {
		victims, ok = g.evict(&h.idle, victims)
	}
	if ok && g.open >= g.limits.All {
		victims, ok = g.evict(&g.idle, victims)
	}
	if ok {
		g.hosts[s.from] = h // an evicted connection may have been its last
		h.open++
		g.open++
		g.rest(s)
	} else if h.open == 0 {
		delete(g.hosts, s.from)
	}
	g.mu.Unlock()
	for _, v := range victims {
		v.raw.Close()
	}
	if !ok {
		return nil
	}
	return s
}

// evict takes the longest idle connection out; g.mu is held.
func (g *Gate) evict(idle *list.List, victims []*slot) ([]*slot, bool) {
	oldest := idle.Front()
	if oldest == nil {
		return victims, false
	}
	victim := oldest.Value.(*slot)
	g.leave(victim)
	return append(victims, victim), true
}

// rest puts s behind all others that are idle; g.mu is held.
func (g *Gate) rest(s *slot) {
	g.work(s)
	s.everywhere, s.here = g.idle.PushBack(s), g.hosts[s.from].idle.PushBack(s)
}

// work takes s out of those that are idle; g.mu is held.
func (g *Gate) work(s *slot) {
	if s.everywhere != nil {
		g.idle.Remove(s.everywhere)
		g.hosts[s.from].idle.Remove(s.here)
		s.everywhere, s.here = nil, nil
	}
}

// leave frees the place of s; g.mu is held.
func (g *Gate) leave(s *slot) {
	if s.closed {
		return
	}
	g.work(s)
	s.closed = true
	g.open--
	h := g.hosts[s.from]
	if h.open--; h.open == 0 {
		delete(g.hosts, s.from)
	}
}

// Listener gives the connections that have a place.
type Listener struct {
	net.Listener
	Gate *Gate
	TLS  *tls.Config // nil: plain

	ahead time.Time // when the last one that was accepted was due, at one each acceptEach
}

// A flood of connections waits in the kernel's backlog, where it costs no one
// else's time.
const (
	acceptEach  = 200 * time.Microsecond // the average time between two accepted connections
	acceptBurst = 1024                   // connections that may be accepted at once after a pause
)

// pace waits where connections come faster than they are accepted.
func (l *Listener) pace() {
	now := time.Now()
	if floor := now.Add(-acceptBurst * acceptEach); l.ahead.Before(floor) {
		l.ahead = floor
	}
	l.ahead = l.ahead.Add(acceptEach)
	time.Sleep(l.ahead.Sub(now))
}

// Accept waits for a connection, a *Conn. The handshake of TLS is done by the
// first read.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.pace()
		s := l.Gate.admit(raw)
		if s == nil {
			raw.Close()
			continue
		}
		c := &Conn{Conn: raw, gate: l.Gate, slot: s}
		if l.TLS != nil {
			c.Conn = tls.Server(raw, l.TLS)
		}
		return c, nil
	}
}

// Conn is a connection that has a place in the gate. It is idle until Busy is
// called.
type Conn struct {
	net.Conn // TLS, or the raw connection
	gate     *Gate
	slot     *slot
}

// Busy keeps the connection's place: its request is complete and is answered.
func (c *Conn) Busy() {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	c.gate.work(c.slot)
}

// Idle says that the request was answered.
func (c *Conn) Idle() {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	if !c.slot.closed {
		c.gate.rest(c.slot)
	}
}

// Close closes the connection and frees its place.
func (c *Conn) Close() error {
	c.gate.mu.Lock()
	c.gate.leave(c.slot)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite tells the other end that nothing more comes.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
