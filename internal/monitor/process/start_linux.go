package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"deputy/internal/monitor/clock"
)

const (
	// startSlack is how long before a first process's birth its BootNS may lie.
	startSlack = 500 * time.Millisecond
	// statusGrace is how long a status may stay away that another must tell.
	statusGrace = 5 * time.Second
	// reapGrace is the same while the process is a zombie: whoever its parent is
	// now, the kernel tells the status when that has reaped it.
	reapGrace = time.Minute
)

// Start begins an attempt. Its events may come before Start returns. An error
// is one of ErrNotFound, ErrNotExecutable, ErrNotStarted, and nothing is left; or
// it is ErrNotExecuted, with an attempt that lives. A birth that ctx ends before it
// has executed is such a one, too, if there was a process by then.
func (h *Host) Start(ctx context.Context, s Spec) (Attempt, error) {
	a := &attempt{Attempt: Attempt{Leaf: s.Leaf, BootNS: clock.Now()}, child: true, pidfd: -1, watch: -1}
	err := h.reserve(s.Leaf)
	if err == nil {
		defer h.busy.Done()
		if err = ctx.Err(); err == nil && len(s.Files) > maxFiles {
			err = fmt.Errorf("%d files are too many: a task can be handed %d", len(s.Files), maxFiles)
		}
		if err != nil {
			h.unreserve(s.Leaf)
		}
	}
	if err != nil {
		s.gone()
		return Attempt{}, &startError{s.Argv[0], ErrNotStarted, err}
	}
	birth := h.birth
	if h.tree == nil {
		birth = h.birthReaped
	}
	late := birth(ctx, a, s)
	if late != nil && !errors.Is(late, ErrNotExecuted) {
		h.unreserve(s.Leaf)
		return Attempt{}, whyNot(s, late)
	}
	if clock.Now()-a.BootNS > int64(startSlack) { // a slow exec, or others before us: ask for the exact time
		if st, err := readStat(a.PID); err == nil {
			a.BootNS = st.startNS
		}
	}
	started := a.Attempt
	if err := h.watchAttempt(a); err != nil {
		h.abandon(a)
		return Attempt{}, &startError{s.Argv[0], ErrNotStarted, errors.New(err.Error())} // no errno to try again for: it was born
	}
	if late != nil {
		return started, &startError{s.Argv[0], nil, late}
	}
	return started, nil
}

// reserve makes a leaf ours, and busy, which its caller ends. None is ever used twice: its cgroup is poisoned by
// the kill, and its name is what finds an attempt again.
func (h *Host) reserve(leaf string) error {
	if err := checkLeaf(leaf); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errors.New("deputy is ending")
	}
	if h.owned[leaf] {
		return errors.New("the leaf " + leaf + " is in use")
	}
	h.owned[leaf] = true
	h.busy.Add(1)
	return nil
}

func (h *Host) unreserve(leaf string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.owned, leaf)
}

// abandon ends an attempt that was born but cannot be watched.
func (h *Host) abandon(a *attempt) {
	if h.tree == nil {
		_ = unix.PidfdSendSignal(a.pidfd, killOrder, nil, 0)
	} else {
		_, _ = h.Kill(a.Leaf)
		_ = unix.PidfdSendSignal(a.pidfd, unix.SIGKILL, nil, 0)
	}
	h.take(a.PID)
	if a.pidfd >= 0 {
		unix.Close(a.pidfd)
	}
	_ = h.remove(a.Leaf)
	h.unreserve(a.Leaf)
}

// birth has the forker make the first process in a fresh leaf.
func (h *Host) birth(ctx context.Context, a *attempt, s Spec) error {
	dir := h.tree.leaf(s.Leaf)
	if err := unix.Mkdir(dir, 0o755); err != nil {
		s.gone()
		return fmt.Errorf("cannot make its cgroup: %w", err)
	}
	fd, err := openDir(dir)
	if err != nil {
		s.gone()
		_ = h.remove(s.Leaf)
		return err
	}
	defer unix.Close(fd)
	a.PID, err = h.births.birth(ctx, &s, fd)
	runtime.KeepAlive(s)
	if err == nil || errors.Is(err, ErrNotExecuted) {
		h.mark(fd, a.Attempt)
		// A child of ours that we have not waited for keeps its number.
		if pidfd, failed := unix.PidfdOpen(a.PID, 0); failed == nil {
			a.pidfd = pidfd
			return err
		} else {
			err = fmt.Errorf("cannot watch it: %w", failed)
		}
		_, _ = h.Kill(s.Leaf)
	}
	if a.PID != 0 {
		h.take(a.PID)
	}
	_ = h.remove(s.Leaf)
	return err
}

func (h *Host) watchAttempt(a *attempt) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.pidfd >= 0 {
		if err := h.listen(a.pidfd); err != nil {
			return fmt.Errorf("cannot watch it: %w", err)
		}
		h.byFD[a.pidfd] = a
	}
	h.attempts[a.Leaf] = a
	return nil
}

// Adopt watches an attempt of a monitor before us again, in the same boot.
// Its Exited is exact where it is our child, being one of the program that was
// executed in our process before us, or ForeignExit or the kernel tells; where
// the first process is gone and nobody told within statusGrace it is unknown. A
// pidfd that was kept is believed for the attempt that it is named after. A PID of 0
// stands for an attempt of which only the leaf is known. Adopt before the
// keeper is told that the monitor is ready, so that what it reaps finds its
// attempt here.
func (h *Host) Adopt(old Attempt) error {
	if err := h.reserve(old.Leaf); err != nil {
		return fmt.Errorf("cannot adopt %s: %w", old.Leaf, err)
	}
	defer h.busy.Done()
	a := &attempt{Attempt: old, pidfd: -1, watch: -1}
	if h.tree == nil {
		return h.adoptReaped(a)
	}
	a.pidfd = h.findAgain(old)
	a.child = a.pidfd >= 0 && h.isChild(old)
	gone := a.pidfd < 0 // from the watch on the poller may end it at any moment
	h.tellOf(a, old.PID > 0 && !a.child)
	if err := h.watchAttempt(a); err != nil {
		h.tellOf(a, false)
		unix.Close(a.pidfd)
		h.unreserve(old.Leaf)
		return fmt.Errorf("cannot adopt %s: %w", old.Leaf, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if gone {
		h.post(func(p *poller) { p.await(a, statusGrace) })
	}
	return nil
}

// tellOf says whether ForeignExit is to tell of an attempt.
func (h *Host) tellOf(a *attempt, foreign bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if foreign {
		h.foreign[a.PID] = a
	} else if h.foreign[a.PID] == a {
		delete(h.foreign, a.PID)
	}
}

// findAgain gives a pidfd of an attempt's first process, dead or alive, or -1.
// The number alone proves nothing: the process must be in that very leaf and
// have been born when the attempt was.
func (h *Host) findAgain(a Attempt) int {
	if a.PID <= 0 {
		return -1
	}
	if kept := h.options.Kept[a.Leaf]; kept != nil {
		if pid, err := pidOf(int(kept.Fd())); err == nil && (pid == a.PID || pid == -1) {
			if fd, err := unix.FcntlInt(kept.Fd(), unix.F_DUPFD_CLOEXEC, 3); err == nil {
				return fd
			}
		}
	}
	pidfd, err := unix.PidfdOpen(a.PID, 0)
	if err != nil {
		return -1
	}
	path, err := cgroupOf(fmt.Sprint(a.PID))
	if err != nil || !h.tree.holds(a.Leaf, path) || !bornAt(a) {
		unix.Close(pidfd)
		return -1
	}
	return pidfd
}

// isChild says whether an attempt's first process is a child of ours. Its number
// is then no other's until we reap it.
func (h *Host) isChild(a Attempt) bool {
	s, err := readStat(a.PID)
	return err == nil && s.ppid == os.Getpid() && s.ppid != h.options.KeeperPID && bornAt(a)
}

func bornAt(a Attempt) bool {
	s, err := readStat(a.PID)
	return err == nil && s.startNS > a.BootNS-ticksNS && s.startNS <= a.BootNS+int64(startSlack)
}

// whyNot sorts what a newborn failed at. Nothing is looked at again: what is there
// may be another's, and may not answer.
func whyNot(s Spec, err error) error {
	e := &startError{s.Argv[0], ErrNotStarted, err}
	var at *birthError
	if !errors.As(err, &at) {
		return e
	}
	switch errno := at.errno; {
	case at.at == stepDirectory:
		e.cause = fmt.Errorf("its directory %s: %w", s.dir(), err)
	case at.at >= stepFile && at.at < stepExec:
		f := s.Input
		if n := int(at.at - stepFile); n > 0 {
			f = s.Files[n-1]
		}
		if errno == notRegular {
			err = errors.New("it is not a regular file")
		}
		e.cause = fmt.Errorf("cannot open %s beneath %s: %w", f.Path, f.Under, err)
	case at.at == stepInterpreter:
		e.kind, e.cause = ErrNotFound, fmt.Errorf("the interpreter it names: %w", err)
	case at.at != stepExec:
		e.cause = fmt.Errorf("%s: %w", at.at, err)
	case errno == unix.ENOENT, errno == unix.ENOTDIR, errno == unix.ELOOP, errno == unix.ENAMETOOLONG:
		e.kind = ErrNotFound
	case errno == unix.EACCES, errno == unix.ENOEXEC, errno == unix.EISDIR, errno == unix.ELIBBAD, errno == unix.E2BIG:
		e.kind = ErrNotExecutable
	}
	return e
}
