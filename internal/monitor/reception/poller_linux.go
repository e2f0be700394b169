package reception

import (
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"deputy/internal/discard"
)

// Who reads news of a descriptor can tell whose they are by the mark, though the kernel
// goes on telling of open files whose descriptor was closed here. Nothing here waits but
// wait.

// poller waits for listening sockets and for peers that go (epoll(7)). What is
// watched is an open file, and the server holds those of all peers: closing our
// descriptor does not take it out, and its number is soon another's. So it is
// taken out before it is closed, and each peer is told with its own mark.
type poller struct {
	epoll  int
	wake   int // eventfd: something else to look at
	events []unix.EpollEvent

	discard atomic.Pointer[discard.Closer] // of peers that may have left descriptors to be dropped; nil: the kernel lets none
}

func newPoller() (*poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	p := &poller{epoll: epoll, wake: wake, events: make([]unix.EpollEvent, 256)}
	return p, p.add(wake, unix.EPOLLIN, 0)
}

func (p *poller) add(fd int, events uint32, mark int32) error {
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd), Pad: mark})
}

// watchListener tells as long as there is somebody to accept.
func (p *poller) watchListener(fd int) error {
	if err := p.add(fd, unix.EPOLLIN, 0); !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// watchPeer tells once that a peer has closed both directions, which EPOLLHUP
// says unasked. A peer that has only finished sending still waits for its answer.
func (p *poller) watchPeer(fd int, number uint64) error {
	return p.add(fd, unix.EPOLLET, markOf(number))
}

// markOf is what tells a connection from another one of the same descriptor.
func markOf(number uint64) int32 { return int32(uint32(number)) }

func (p *poller) ignore(fd int) { unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil) }

// expect readies it for the peers of a listening socket, before any is accepted.
func (p *poller) expect(listener int) {
	if !refuseRights(listener) && p.discard.Load() == nil {
		p.discard.Store(discard.New())
	}
}

// closePeer closes a peer's descriptor, watched or not.
func (p *poller) closePeer(fd int) {
	p.ignore(fd)
	if aside := p.discard.Load(); aside != nil {
		aside.Close(fd)
	} else {
		unix.Close(fd)
	}
}

// wait gives the descriptors that are ready, and whether call was called. It is
// for one goroutine.
func (p *poller) wait(atMost time.Duration) (ready []readiness, called bool, err error) {
	n, err := unix.EpollWait(p.epoll, p.events, milliseconds(atMost))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return nil, false, err
	}
	for _, e := range p.events[:max(n, 0)] {
		if int(e.Fd) != p.wake {
			ready = append(ready, readiness{int(e.Fd), e.Pad})
			continue
		}
		var count [8]byte
		unix.Read(p.wake, count[:])
		called = true
	}
	return ready, called, nil
}

// milliseconds rounds up: what is waited for is then due.
func milliseconds(d time.Duration) int {
	return int((d + time.Millisecond - 1) / time.Millisecond)
}

// call ends a wait under way, or the next.
func (p *poller) call() { unix.Write(p.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }
