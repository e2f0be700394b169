//go:build unix

package reception

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/internal/wall"
)

// Nothing is read from a connection here, and nothing written to it: who is there is
// asked of the kernel, and all else is the server's. One goroutine accepts, watches and
// passes on; none of that waits for a peer.

const (
	nobody     = 65534 // what an unmapped user reads as
	sweepEvery = time.Second
)

// Reception accepts every Unix connection, reads there and then who is at the
// other end, gives it a number that is never used again, and passes it on
// through the door. It keeps a duplicate of the descriptor, to see the peer go.
type Reception struct {
	connections
	poller    *poller
	listeners map[int]bool // listening sockets; true: 'Key: Value' is spoken there; guarded by mu
	closed    bool         // guarded by mu
	self      int          // a process whose connections are closed: the monitor's own mean nothing (see isDead), and the server is not to have one of root's; 0: none
}

// New makes one that listens nowhere yet. account says whose connections a caller's
// are; nil: its own.
func New(account func(deputy.Caller) deputy.Caller) *Reception {
	r := &Reception{listeners: map[int]bool{}}
	r.begin(account, func(fd int) { r.poller.closePeer(fd) })
	return r
}

// Prepare makes what listening takes.
func (r *Reception) Prepare() (err error) {
	if r.capacity, err = findCapacity(); err != nil {
		return err
	}
	r.self = os.Getpid()
	if r.poller, err = newPoller(); err != nil {
		return fmt.Errorf("cannot wait for connections: %w", err)
	}
	return nil
}

// Listen accepts from one more listening socket, as soon as a server
// lives; line says that 'Key: Value' is spoken there.
func (r *Reception) Listen(fd int, line bool) error {
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("cannot wait for connections: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.poller.expect(fd)
	r.listeners[fd] = line
	if r.door == nil || r.retiring {
		return nil
	}
	return r.watch(fd)
}

// Ignore accepts no more from a listening socket; its caller closes it.
func (r *Reception) Ignore(fd int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.listeners, fd)
	r.poller.ignore(fd)
}

func (r *Reception) watch(listener int) error {
	if err := r.poller.watchListener(listener); err != nil {
		return fmt.Errorf("cannot accept connections: %w", err)
	}
	return nil
}

// Open begins to accept, for a server at the other end of door.
func (r *Reception) Open(door *wall.Door) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.door, r.retiring = door, false
	for fd := range r.listeners {
		if err := r.watch(fd); err != nil {
			return err
		}
	}
	return nil
}

// stop accepts nothing until Open is called; mu is held.
func (r *Reception) stop() {
	for fd := range r.listeners {
		r.poller.ignore(fd)
	}
}

// Retire closes the door behind the last connection that went through it: the
// server answers those that it has, and ends. Whoever comes now waits in the
// backlog for the next server. Numbers live on until Shut.
func (r *Reception) Retire() {
	r.mu.Lock()
	r.retiring = true
	r.mu.Unlock()
	r.poller.call()
}

// Shut stops accepting and forgets every connection: their numbers die with
// the server they were passed to.
func (r *Reception) Shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.door, r.retiring = nil, false
	r.stop()
	r.forget()
}

// Run accepts and watches until Close is called. A flood of connections is to be
// turned away faster than it comes, for those who connect beside it would find
// the backlog full: see receive.
func (r *Reception) Run() error {
	wait := sweepEvery
	for {
		ready, called, err := r.poller.wait(wait)
		if err != nil {
			return fmt.Errorf("cannot wait for connections: %w", err)
		}
		for _, e := range ready {
			r.ready(e)
		}
		if called && r.called() {
			return nil
		}
		r.sweep()
		wait = r.passLate(sweepEvery)
	}
}

// Close ends Run.
func (r *Reception) Close() {
	r.Shut()
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.poller.call()
}

// called does what Run was called for; true: it is to end. The door is closed
// here because here alone nothing is on its way through it, and behind those
// that waited for their turn: the server is the last that can answer them.
func (r *Reception) called() bool {
	r.mu.Lock()
	closing := r.retiring && r.door != nil
	var last parked
	if closing {
		r.stop()
		last, r.pace.late = r.pace.late, nil
	}
	r.mu.Unlock()
	for _, c := range last {
		r.pass(c)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if closing && r.door != nil {
		r.door.Close()
	}
	return r.closed
}

// readiness is what the poller tells of a descriptor.
type readiness struct {
	fd   int
	mark int32 // a peer's: which connection it was when it was watched
}

// ready serves one descriptor: a listening socket, or a peer that has gone.
func (r *Reception) ready(e readiness) {
	r.mu.Lock()
	line, listens := r.listeners[e.fd]
	r.mu.Unlock()
	if listens {
		r.acceptAll(e.fd, line)
	} else {
		r.hangup(e.fd, func(c *connection) bool { return markOf(c.number) == e.mark })
	}
}

// acceptAll takes what the backlog holds, a bounded number at a time.
func (r *Reception) acceptAll(listener int, line bool) {
	for range 64 {
		if !r.serves() {
			return // the backlog waits for the next server
		}
		fd, err := accept(listener)
		switch {
		case err == unix.EMFILE || err == unix.ENFILE || err == unix.ENOMEM || err == unix.ENOBUFS:
			time.Sleep(20 * time.Millisecond) // the backlog waits; do not spin meanwhile
			return
		case errors.Is(err, unix.EINTR) || err == unix.ECONNABORTED:
			continue
		case err != nil:
			return
		}
		if !r.receive(fd, line) {
			r.closeFD(fd)
		}
	}
}

// receive identifies a connection and passes it on; false: close it. One that
// its user may not have costs as little as can be.
func (r *Reception) receive(fd int, line bool) bool {
	who, pid, err := peerOf(fd)
	if err != nil || who.UID == nobody || who.UID == ^uint32(0) || pid != 0 && pid == r.self {
		return false
	}
	r.mu.Lock()
	c := r.admit(fd, who)
	r.mu.Unlock()
	if c == nil {
		return false
	}
	c.line = line
	err = addGroups(&c.who, fd)
	r.mu.Lock()
	if c.fd < 0 { // shut meanwhile, and closed
		r.mu.Unlock()
		return true
	}
	if err == nil {
		err = r.poller.watchPeer(fd, c.number)
	}
	if err != nil {
		r.release(c)
		r.mu.Unlock()
		return false
	}
	now := r.passes(c)
	r.mu.Unlock()
	if now {
		r.pass(c)
	}
	return true
}
