//go:build darwin || freebsd

package reception

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// Who reads news of a descriptor can be sure whose they are: what is watched ends with
// our descriptor. Nothing here waits but wait.

// poller waits for listening sockets and for peers that go (kqueue(2)). What
// is watched is our descriptor: closing it takes it out, whoever else holds the
// same open file.
type poller struct {
	queue  int
	events []unix.Kevent_t
}

// wakeIdent is the one event of our own.
const wakeIdent = 1

func newPoller() (*poller, error) {
	queue, err := unix.Kqueue()
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(queue) // nobody is started yet
	p := &poller{queue: queue, events: make([]unix.Kevent_t, 256)}
	return p, p.change(wakeIdent, unix.EVFILT_USER, unix.EV_ADD|unix.EV_CLEAR, 0)
}

func (p *poller) change(ident, filter, flags int, fflags uint32) error {
	var event unix.Kevent_t
	unix.SetKevent(&event, ident, filter, flags)
	event.Fflags = fflags
	_, err := unix.Kevent(p.queue, []unix.Kevent_t{event}, nil, nil)
	return err
}

// watchListener tells as long as there is somebody to accept.
func (p *poller) watchListener(fd int) error {
	return p.change(fd, unix.EVFILT_READ, unix.EV_ADD, 0)
}

// watchPeer tells that a peer has closed both directions: then nothing can be
// written to it any more. A peer that has only finished sending still waits for
// its answer.
func (p *poller) watchPeer(fd int, _ uint64) error {
	return p.change(fd, unix.EVFILT_WRITE, unix.EV_ADD|unix.EV_CLEAR, 0)
}

// markOf has nothing to tell apart.
func markOf(uint64) int32 { return 0 }

func (p *poller) ignore(fd int) { _ = p.change(fd, unix.EVFILT_READ, unix.EV_DELETE, 0) }

// expect is for Linux.
func (p *poller) expect(int) {}

// closePeer closes a peer's descriptor, watched or not.
func (p *poller) closePeer(fd int) { unix.Close(fd) }

// wait gives the descriptors that are ready, and whether call was called. It is
// for one goroutine.
func (p *poller) wait(atMost time.Duration) (ready []readiness, called bool, err error) {
	timeout := unix.NsecToTimespec(int64(atMost))
	n, err := unix.Kevent(p.queue, nil, p.events, &timeout)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return nil, false, err
	}
	for _, e := range p.events[:max(n, 0)] {
		switch {
		case e.Filter == unix.EVFILT_USER:
			called = true
		case e.Filter == unix.EVFILT_READ || e.Flags&unix.EV_EOF != 0:
			ready = append(ready, readiness{int(e.Ident), 0})
		}
	}
	return ready, called, nil
}

// call ends a wait under way, or the next.
func (p *poller) call() { _ = p.change(wakeIdent, unix.EVFILT_USER, 0, unix.NOTE_TRIGGER) }
