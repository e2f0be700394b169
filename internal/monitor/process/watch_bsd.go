//go:build darwin || freebsd

package process

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/internal/monitor/clock"
)

// member is a living process of a session.
type member struct {
	pid         int
	comm, state string
	started     time.Time
}

// members lists what lives of a leaf, its first process too.
func (h *Host) members(leaf string) ([]member, error) {
	h.mu.Lock()
	a := h.attempts[leaf]
	h.mu.Unlock()
	if a == nil || a.PID <= 0 {
		return nil, nil
	}
	list, err := sessionOf(a.PID)
	if err != nil {
		return nil, fmt.Errorf("cannot list processes: %w", err)
	}
	for _, m := range list {
		if m.pid == a.PID && !a.child && !a.bornAt(m.started) {
			return nil, nil // the number is somebody else's by now: nothing of ours is left
		}
	}
	return list, nil
}

// bornAt says whether a process that was started at that time of the wall clock
// is the attempt's first.
func (a *attempt) bornAt(started time.Time) bool {
	want := time.Now().Add(-time.Duration(clock.Now() - a.BootNS))
	return started.Sub(want).Abs() <= startSlack
}

// watch has poll tell of an attempt.
func (h *Host) watch(a *attempt) {
	h.mu.Lock()
	h.attempts[a.Leaf] = a
	if a.PID > 0 {
		h.byPID[a.PID] = a
	}
	h.mu.Unlock()
	if !a.child && !h.lives(a) {
		h.ended(a, ownExit(a.PID, deputy.Exit{Unknown: "it ended while no monitor watched it"}))
		return
	}
	var event unix.Kevent_t
	unix.SetKevent(&event, a.PID, unix.EVFILT_PROC, unix.EV_ADD|unix.EV_ONESHOT)
	event.Fflags = unix.NOTE_EXIT
	if _, err := unix.Kevent(h.queue, []unix.Kevent_t{event}, nil, nil); err != nil { // it has ended already
		go h.over(a, unix.Kevent_t{})
	}
}

// lives says whether an adopted attempt's first process does.
func (h *Host) lives(a *attempt) bool {
	list, _ := h.members(a.Leaf)
	return slices.ContainsFunc(list, func(m member) bool { return m.pid == a.PID })
}

// over takes the status of a first process that has ended. Whether anything
// else lives is asked before: until it is reaped its number is nobody else's.
func (h *Host) over(a *attempt, event unix.Kevent_t) {
	if !a.child {
		h.ended(a, ownExit(a.PID, foreignExit(event)))
		return
	}
	h.lookEmpty(a)
	var status unix.WaitStatus
	for {
		pid, err := unix.Wait4(a.PID, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || pid != a.PID:
			h.ended(a, deputy.Exit{Unknown: fmt.Sprintf("its status was taken by another: %v", err)})
		default:
			h.ended(a, exitOf(status))
		}
		return
	}
}

// ownExit takes the status of an adopted process that has ended, if it is a child
// of ours: of a monitor that executed its new program. Otherwise it is as told.
func ownExit(pid int, told deputy.Exit) deputy.Exit {
	var status unix.WaitStatus
	if pid <= 0 {
		return told
	}
	if reaped, err := unix.Wait4(pid, &status, unix.WNOHANG, nil); err == nil && reaped == pid {
		return exitOf(status)
	}
	return told
}

// exitOf reads a wait status. It is exact.
func exitOf(status unix.WaitStatus) deputy.Exit {
	if status.Signaled() {
		return deputy.Exit{Signal: unix.SignalName(status.Signal())}
	}
	code := status.ExitStatus()
	return deputy.Exit{Code: &code}
}

// ended tells Exited, once.
func (h *Host) ended(a *attempt, exit deputy.Exit) {
	h.lookEmpty(a)
	h.news.Lock()
	if !a.exited && h.watched(a) {
		h.options.Events(Event{Leaf: a.Leaf, Kind: Exited, Exit: exit})
	}
	a.exited = true
	h.news.Unlock()
	h.forgetEnded(a)
}

// lookEmpty tells Empty, once, when nothing of an attempt lives.
func (h *Host) lookEmpty(a *attempt) {
	if list, err := h.members(a.Leaf); err != nil || len(list) > 0 {
		return // what cannot be seen may live
	}
	h.news.Lock()
	if !a.empty && h.watched(a) {
		h.options.Events(Event{Leaf: a.Leaf, Kind: Empty})
	}
	a.empty = true
	h.news.Unlock()
	h.forgetEnded(a)
}

func (h *Host) watched(a *attempt) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.attempts[a.Leaf] == a
}

func (h *Host) forgetEnded(a *attempt) {
	h.news.Lock()
	defer h.news.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.exited {
		delete(h.byPID, a.PID)
	}
	if a.exited && a.empty {
		delete(h.attempts, a.Leaf)
	}
}

func (h *Host) live() []*attempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []*attempt
	for _, a := range h.attempts {
		all = append(all, a)
	}
	return all
}

// poll tells of ends until Close: those of first processes as the kernel does,
// those of what they left behind by looking.
func (h *Host) poll() {
	defer close(h.polled)
	events := make([]unix.Kevent_t, 64)
	wait := unix.NsecToTimespec(int64(lookEvery))
	for {
		n, err := unix.Kevent(h.queue, nil, events, &wait)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return // only a queue that is closed
		}
		for _, event := range events[:max(n, 0)] {
			h.mu.Lock()
			a := h.byPID[int(event.Ident)]
			h.mu.Unlock()
			if a != nil && event.Filter == unix.EVFILT_PROC {
				h.over(a, event)
			}
		}
		h.mu.Lock()
		closed := h.closed
		h.mu.Unlock()
		if closed {
			return
		}
		for _, a := range h.live() {
			h.news.Lock()
			left := a.exited && !a.empty
			h.news.Unlock()
			if left {
				h.lookEmpty(a)
			}
		}
	}
}

// call ends a wait of poll.
func (h *Host) call() {
	var event unix.Kevent_t
	unix.SetKevent(&event, 1, unix.EVFILT_USER, unix.EV_ADD|unix.EV_ONESHOT)
	event.Fflags = unix.NOTE_TRIGGER
	_, _ = unix.Kevent(h.queue, []unix.Kevent_t{event}, nil, nil)
}

// stateName writes a state of <sys/proc.h> as ps(1) does.
func stateName(state byte) string {
	switch state {
	case 2:
		return "R"
	case 3:
		return "S"
	case 4:
		return "T"
	}
	return "?"
}
