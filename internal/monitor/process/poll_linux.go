package process

import (
	"encoding/binary"
	"errors"
	"os"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"deputy"
)

// retryEvery is how often the poller looks by itself at attempts for which no
// descriptor will wake it.
const retryEvery = 100 * time.Millisecond

// poller is what only the Host's one goroutine touches.
type poller struct {
	*Host
	byWatch map[int]*attempt  // by inotify watch descriptor
	pending map[*attempt]bool // to be looked at again as time passes
}

// poll turns what the kernel tells into events, until the Host is closed.
//
// A leaf is watched by inotify only from the moment its first process has ended
// and something else still lives: most leaves are empty by then, and cost
// neither a watch nor a wake-up. populated is read after the watch was added,
// so no change is lost between.
func (h *Host) poll() {
	defer close(h.polled)
	p := &poller{Host: h, byWatch: map[int]*attempt{}, pending: map[*attempt]bool{}}
	ready := make([]unix.EpollEvent, 128)
	for {
		timeout := -1
		if hidden := p.takeHidden(); hidden || len(p.pending) > 0 {
			timeout = int(retryEvery / time.Millisecond)
		}
		n, _ := unix.EpollWait(h.epoll, ready, timeout) // only EINTR is possible
		for _, e := range ready[:max(n, 0)] {
			switch int(e.Fd) {
			case h.wake:
				_, _ = unix.Read(h.wake, make([]byte, 8))
			case h.inotify:
				p.leavesChanged()
			default:
				p.pidfdReady(int(e.Fd), e.Events)
			}
		}
		// Posted work may close a pidfd, so it runs when no event of this round can name it.
		if closed := p.runPosted(); closed {
			return
		}
		p.retry()
	}
}

// post leaves work for the poller. The caller holds mu.
func (h *Host) post(work func(*poller)) {
	h.posted = append(h.posted, work)
	_, _ = unix.Write(h.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // fails only when it is awake already
}

func (p *poller) runPosted() (closed bool) {
	p.mu.Lock()
	work, closed := p.posted, p.closed
	p.posted = nil
	p.mu.Unlock()
	for _, f := range work {
		f(p)
	}
	return closed
}

// pidfdReady: a first process, or a subreaper, has ended.
func (p *poller) pidfdReady(fd int, bits uint32) {
	p.mu.Lock()
	a := p.byFD[fd]
	p.mu.Unlock()
	switch {
	case a == nil:
	case a.child:
		if !p.childEnded(a) {
			p.lookLater(a)
		}
	case p.tree == nil:
		p.reaperEnded(a)
	default:
		p.foreignEnded(a, bits)
	}
}

// childEnded tells of a first process, or subreaper, of ours if it has ended.
func (p *poller) childEnded(a *attempt) bool {
	exit, ended := p.reap(a)
	if ended && p.tree == nil {
		exit, left := p.foundBy(a)
		p.ended(a, exit, left)
	} else if ended {
		p.ended(a, exit, 0)
	}
	return ended
}

// lookLater has no descriptor wake us for a first process that has ended and whose
// status cannot be read now: it would do so without end.
func (p *poller) lookLater(a *attempt) {
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, a.pidfd, nil)
	p.await(a, reapGrace)
}

// reap reads the status of a child of ours and leaves it where it is until
// Release: a monitor that dies before the end is durable has taken nothing.
func (h *Host) reap(a *attempt) (exit deputy.Exit, ended bool) {
	exit, ended = statusOf(a.PID)
	if ended {
		h.mu.Lock()
		h.zombies[a.Leaf] = a.PID
		h.mu.Unlock()
	}
	return exit, ended
}

// statusOf reads the status of a child that has ended, and leaves it. A process that
// traces the child, as one of its own user may, hides it from waitid(2) for as
// long as it likes; its status stands in /proc all the same.
func statusOf(pid int) (exit deputy.Exit, ended bool) {
	var info childInfo
	err := unix.Waitid(unix.P_PID, pid, (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	if err != nil {
		return deputy.Exit{Unknown: "its status was taken by another: " + err.Error()}, true
	}
	if info.pid != 0 {
		status := unix.WaitStatus(info.status) // of a signal its number
		if info.code == exitedByItself {
			status <<= 8
		}
		return exitOf(status), true
	}
	s, err := readStat(pid)
	switch {
	case err != nil || !s.dead():
		return deputy.Exit{}, false
	case s.status == 0 && !mayRead(pid):
		return deputy.Exit{Unknown: "a process that traces it hides its status"}, true
	}
	return exitOf(s.status), true
}

// mayRead says whether /proc shows us all of a process: to others it tells a status
// of 0 (ptrace(2), "Ptrace access mode checking").
func mayRead(pid int) bool {
	_, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/io")
	return err == nil
}

// bury takes the status of a child that has ended. The caller holds mu.
func (h *Host) bury(leaf string) {
	if pid := h.zombies[leaf]; pid != 0 {
		h.takeNow(pid)
		delete(h.zombies, leaf)
	}
}

// takeNow takes the status of a child, if it can be taken; one that a tracer hides
// waits for the poller. The caller holds mu.
func (h *Host) takeNow(pid int) {
	if got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); got == 0 && err == nil {
		h.hidden[pid] = true
		h.post(func(*poller) {})
	}
}

// take is takeNow for a child that is just ending, for those who do not hold mu.
func (h *Host) take(pid int) {
	if waitFor(pid) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.takeNow(pid)
}

// endsWithin is how long a child that has let go of its descriptors may take to end.
const endsWithin = 2 * time.Second

// waitFor takes the status of a child that is just ending, and says whether it could.
func waitFor(pid int) bool {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return errors.Is(err, unix.ESRCH)
	}
	defer unix.Close(pidfd)
	ready := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for end := time.Now().Add(endsWithin); time.Now().Before(end); {
		if n, err := unix.Poll(ready, int(endsWithin/time.Millisecond)); n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
	return got == pid || err != nil
}

// takeHidden tries again to take what could not be taken.
func (p *poller) takeHidden() (left bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pid := range p.hidden {
		if got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); got != 0 || err != nil {
			delete(p.hidden, pid)
		}
	}
	return len(p.hidden) > 0
}

const exitedByItself = 1 // CLD_EXITED, sigaction(2)

// childInfo is siginfo_t as waitid(2) fills it; the union behind the first
// three members is aligned as a pointer.
type childInfo struct {
	signo, errno, code int32
	_                  [unsafe.Sizeof(uintptr(0)) / 8]int32
	pid                int32
	uid                uint32
	status             int32
	_                  [100]byte
}

// foreignEnded: an adopted process has ended. Its parent, the keeper, tells how
// by ForeignExit; where it does not, the kernel may once it was reaped, which
// POLLHUP shows (Linux 6.9).
func (p *poller) foreignEnded(a *attempt, bits uint32) {
	wait := statusGrace
	if bits&unix.EPOLLHUP != 0 {
		if exit, ok := pidfdExit(a.pidfd); ok {
			p.ended(a, exit, 0)
			return
		}
		_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, a.pidfd, nil)
	} else { // wait for POLLHUP alone, which needs no asking
		_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_MOD, a.pidfd, &unix.EpollEvent{Fd: int32(a.pidfd)})
		wait = reapGrace
	}
	p.await(a, wait)
}

// await bounds the wait for a status that another must tell.
func (p *poller) await(a *attempt, atMost time.Duration) {
	a.deadline = time.Now().Add(atMost)
	p.pending[a] = true
}

// ForeignExit tells how a process ended that the keeper reaped; path is its v2
// cgroup. It says whether that was the first process of an adopted attempt.
func (h *Host) ForeignExit(pid int, path string, status unix.WaitStatus) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.foreign[pid]
	if a == nil || !h.tree.holds(a.Leaf, path) {
		return false
	}
	h.post(func(p *poller) { p.ended(a, exitOf(status), 0) })
	return true
}

// ended tells Exited, once. Where nothing else lives Empty is told before it, so
// that nobody takes the tree for one that has left something over.
func (p *poller) ended(a *attempt, exit deputy.Exit, leftover int) {
	if a.exited {
		return
	}
	a.exited = true
	p.closePidfd(a)
	p.lookEmpty(a)
	p.options.Events(Event{Leaf: a.Leaf, Kind: Exited, Exit: exit, Leftover: leftover})
}

// lookEmpty tells Empty if nothing lives, and otherwise sees to being woken.
func (p *poller) lookEmpty(a *attempt) {
	if a.empty {
		return
	}
	if p.tree != nil {
		dir := p.tree.leaf(a.Leaf)
		if populated(dir) {
			if a.watch < 0 {
				p.watchLeaf(a, dir)
			}
			if populated(dir) {
				return
			}
		}
	}
	a.empty = true
	p.options.Events(Event{Leaf: a.Leaf, Kind: Empty})
	p.forget(a)
}

func (p *poller) watchLeaf(a *attempt, dir string) {
	watch, err := unix.InotifyAddWatch(p.inotify, dir+"/cgroup.events", unix.IN_MODIFY)
	if err != nil { // the limit of watches is reached: look from time to time
		p.pending[a] = true
		return
	}
	a.watch = watch
	p.byWatch[watch] = a
}

// leavesChanged reads inotify(7) dry.
func (p *poller) leavesChanged() {
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.Read(p.inotify, buf)
		if err == nil && n > 0 {
			p.changes(buf[:n])
		} else if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// changes looks at each leaf that changed. After an overflow nothing is known,
// so every watched leaf is looked at.
func (p *poller) changes(events []byte) {
	for len(events) >= unix.SizeofInotifyEvent {
		watch, mask := int32(binary.NativeEndian.Uint32(events)), binary.NativeEndian.Uint32(events[4:])
		events = events[unix.SizeofInotifyEvent+int(binary.NativeEndian.Uint32(events[12:])):]
		if mask&unix.IN_Q_OVERFLOW != 0 {
			for _, a := range p.byWatch {
				p.lookEmpty(a)
			}
		} else if a := p.byWatch[int(watch)]; a != nil {
			p.lookEmpty(a)
		}
	}
}

// retry looks at those that no descriptor will wake us for.
func (p *poller) retry() {
	now := time.Now()
	for a := range p.pending {
		switch {
		case a.exited:
			p.lookEmpty(a)
		case a.child && p.childEnded(a):
		case now.After(a.deadline):
			p.ended(a, deputy.Exit{Unknown: "it ended while deputy was not running, or was not its parent, and nobody tells its status (Linux 6.15 and later can)"}, 0)
		}
	}
}

// forget ends the watch of an attempt.
func (p *poller) forget(a *attempt) {
	p.closePidfd(a)
	if a.watch >= 0 {
		_, _ = unix.InotifyRmWatch(p.inotify, uint32(a.watch))
		delete(p.byWatch, a.watch)
	}
	delete(p.pending, a)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.attempts[a.Leaf] == a {
		delete(p.attempts, a.Leaf)
	}
}

// closePidfd also takes it out of epoll: a child between fork and exec may hold
// a copy, which would keep it there.
func (p *poller) closePidfd(a *attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.foreign[a.PID] == a {
		delete(p.foreign, a.PID)
	}
	if a.pidfd >= 0 {
		_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, a.pidfd, nil)
		delete(p.byFD, a.pidfd)
		unix.Close(a.pidfd)
		a.pidfd = -1
	}
}
