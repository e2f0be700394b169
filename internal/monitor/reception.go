package monitor

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/internal/monitor/policy"
	"deputy/internal/wall"
)

const (
	nobody       = 65534           // what an unmapped user reads as
	numberLife   = 5 * time.Second // of a connection's number after its peer has closed
	sweepEvery   = time.Second
	maxGroups    = 1 << 16 // NGROUPS_MAX
	soPeerGroups = 59      // SO_PEERGROUPS, socket(7)
)

// reception accepts every Unix connection, reads there and then who is at the
// other end, gives it a number that is never used again, and passes it on
// through the door. It keeps a duplicate of the descriptor, to see the peer go.
type reception struct {
	epoll int
	wake  int // eventfd: something for run to look at
	share share

	mu        sync.Mutex   // guards what follows
	listeners map[int]bool // listening sockets; true: 'Key: Value' is spoken there
	door      *wall.Door   // nil: no server lives, the backlog waits
	retiring  bool         // the server is to end: nothing more goes through its door
	last      uint64
	byNumber  map[uint64]*connection
	byFD      map[int]*connection
	perUID    map[uint32]int
	closed    bool
}

type connection struct {
	number uint64
	fd     int // -1 once the peer has closed
	uid    uint32
	gids   []uint32
	gone   time.Time // when the peer closed
}

// newReception makes one that listens nowhere yet.
func newReception(s share) (*reception, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot wait for connections: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot wait for connections: %w", err)
	}
	r := &reception{
		epoll: epoll, wake: wake, share: s, listeners: map[int]bool{},
		byNumber: map[uint64]*connection{}, byFD: map[int]*connection{}, perUID: map[uint32]int{},
		// Numbers of an earlier monitor are not used again either: the boot clock is
		// ahead of them, and no server lives longer than it runs.
		last: uint64(bootNow()),
	}
	return r, unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(wake)})
}

// listen accepts from one more listening socket, as soon as a server lives.
func (r *reception) listen(fd int, line bool) error {
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("cannot wait for connections: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listeners[fd] = line
	if r.door == nil || r.retiring {
		return nil
	}
	return r.watch(fd)
}

// ignore accepts no more from a listening socket; its caller closes it.
func (r *reception) ignore(fd int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.listeners, fd)
	unix.EpollCtl(r.epoll, unix.EPOLL_CTL_DEL, fd, nil)
}

func (r *reception) watch(listener int) error {
	err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, listener, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(listener)})
	if err != nil && err != unix.EEXIST {
		return fmt.Errorf("cannot accept connections: %w", err)
	}
	return nil
}

// open begins to accept, for a server at the other end of door.
func (r *reception) open(door *wall.Door) error {
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

// stop accepts nothing until open is called; mu is held.
func (r *reception) stop() {
	for fd := range r.listeners {
		unix.EpollCtl(r.epoll, unix.EPOLL_CTL_DEL, fd, nil)
	}
}

// retire closes the door behind the last connection that went through it: the
// server answers those that it has, and ends. Whoever comes now waits in the
// backlog for the next server. Numbers live on until shut.
func (r *reception) retire() {
	r.mu.Lock()
	r.retiring = true
	r.mu.Unlock()
	r.call()
}

// shut stops accepting and forgets every connection: their numbers die with
// the server they were passed to.
func (r *reception) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.door, r.retiring = nil, false
	r.stop()
	for fd, c := range r.byFD {
		r.drop(fd, c)
	}
	clear(r.byNumber)
}

// drop closes our duplicate; mu is held.
func (r *reception) drop(fd int, c *connection) {
	unix.Close(fd) // which also takes it out of the epoll set
	delete(r.byFD, fd)
	c.fd, c.gone = -1, time.Now()
	if r.perUID[c.uid]--; r.perUID[c.uid] <= 0 {
		delete(r.perUID, c.uid)
	}
}

// identity says who is at the other end of a connection, if its number lives.
func (r *reception) identity(number uint64) (policy.Identity, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.byNumber[number]
	if c == nil || c.fd < 0 && time.Since(c.gone) > numberLife {
		return policy.Identity{}, false
	}
	return policy.Identity{Caller: deputy.UIDCaller(c.uid), UID: c.uid, GIDs: c.gids}, true
}

// run accepts and watches until close is called.
func (r *reception) run() error {
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(r.epoll, events, int(sweepEvery/time.Millisecond))
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("cannot wait for connections: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			switch fd := int(e.Fd); {
			case fd != r.wake:
				r.ready(fd)
			case r.called():
				return nil
			}
		}
		r.sweep()
	}
}

func (r *reception) close() {
	r.shut()
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.call()
}

// call has run look at closed and retiring.
func (r *reception) call() {
	unix.Write(r.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// called does what run was called for; true: it is to end. The door is closed
// here because here alone nothing is on its way through it.
func (r *reception) called() bool {
	var count [8]byte
	unix.Read(r.wake, count[:])
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.retiring && r.door != nil {
		r.stop()
		r.door.Close()
	}
	return r.closed
}

// ready serves one descriptor: a listening socket, or a peer that has gone.
func (r *reception) ready(fd int) {
	r.mu.Lock()
	line, listens := r.listeners[fd]
	r.mu.Unlock()
	if listens {
		r.acceptAll(fd, line)
	} else {
		r.hangup(fd)
	}
}

func (r *reception) hangup(fd int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.byFD[fd]; c != nil {
		r.drop(fd, c)
	}
}

// sweep forgets numbers that have died.
func (r *reception) sweep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for number, c := range r.byNumber {
		if c.fd < 0 && time.Since(c.gone) > numberLife {
			delete(r.byNumber, number)
		}
	}
}

// acceptAll takes what the backlog holds, a bounded number at a time.
func (r *reception) acceptAll(listener int, line bool) {
	for range 64 {
		if !r.serves() {
			return // the backlog waits for the next server
		}
		fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		switch {
		case err == unix.EMFILE || err == unix.ENFILE || err == unix.ENOMEM || err == unix.ENOBUFS:
			time.Sleep(10 * time.Millisecond) // the backlog waits; do not spin meanwhile
			return
		case errors.Is(err, unix.EINTR) || err == unix.ECONNABORTED:
			continue
		case err != nil:
			return
		}
		if !r.receive(fd, line) {
			unix.Close(fd)
		}
	}
}

func (r *reception) serves() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.door != nil && !r.retiring
}

// receive identifies a connection and passes it on; false: close it.
func (r *reception) receive(fd int, line bool) bool {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil || peer.Uid == nobody || peer.Uid == ^uint32(0) {
		return false
	}
	groups, err := peerGroups(fd)
	if err != nil {
		return false
	}
	r.mu.Lock()
	over, full, refused := r.share.of(peer.Uid, r.perUID[peer.Uid], len(r.byFD))
	if r.door == nil || refused {
		r.mu.Unlock()
		return false
	}
	r.last++
	c := &connection{number: r.last, fd: fd, uid: peer.Uid, gids: append(groups, peer.Gid)}
	// EPOLLHUP is always reported: the peer has closed both directions. A peer
	// that has only finished sending still waits for its answer.
	if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLET, Fd: int32(fd)}); err != nil {
		r.mu.Unlock()
		return false
	}
	r.byNumber[c.number], r.byFD[fd] = c, c
	r.perUID[c.uid]++
	door := r.door
	r.mu.Unlock()

	if err := door.Send(wall.Connection{Number: c.number, UID: c.uid, Over: over, Full: full, Line: line}, fd); err != nil {
		r.hangup(fd) // the server is going; the peer is told by the close
	}
	return true
}

// peerGroups reads SO_PEERGROUPS: the supplementary groups of the peer when it
// connected, in 32-bit ids (socket(7)).
func peerGroups(fd int) ([]uint32, error) {
	groups := make([]uint32, 64)
	for {
		size := uint32(len(groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, soPeerGroups,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return groups[:size/4], nil
		case errno == unix.ERANGE && size/4 > uint32(len(groups)) && size/4 <= maxGroups:
			groups = make([]uint32, size/4)
		default:
			return nil, errno
		}
	}
}

// userName is for messages alone: what cannot be found is "".
func userName(uid uint32) string {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return ""
	}
	return u.Username
}
