package process

import (
	"errors"
	"time"

	"golang.org/x/sys/windows"

	"deputy"
)

const (
	// lookEvery is how often the poller looks by itself: the port does not
	// promise every message, and tells nothing of an adopted job.
	lookEvery = 100 * time.Millisecond
	// hostLinger is how long a console host may outlive what it served.
	hostLinger = time.Second
)

// poll turns what the port tells into events, until the Host is closed.
func (h *Host) poll() {
	defer close(h.polled)
	next := time.Now().Add(lookEvery)
	for {
		var message uint32
		var key uintptr
		var pid *windows.Overlapped // of the process that the message is about
		err := windows.GetQueuedCompletionStatus(h.port, &message, &key, &pid, h.patience(next))
		h.mu.Lock()
		if h.closed {
			h.mu.Unlock()
			return
		}
		var due []*attempt
		if a := h.byKey[key]; a != nil && err == nil {
			due = append(due, a)
		}
		if now := time.Now(); !now.Before(next) {
			next = now.Add(lookEvery)
			for _, a := range h.byKey {
				due = append(due, a)
			}
		}
		var told []Event
		for _, a := range due {
			told = append(told, h.look(a)...)
		}
		h.mu.Unlock()
		for _, e := range told {
			h.options.Events(e)
		}
		if err != nil && !errors.Is(err, windows.Errno(windows.WAIT_TIMEOUT)) {
			time.Sleep(lookEvery) // a port that cannot be read any more: looking must do
		}
	}
}

// patience is how long to wait for the port, in ms.
func (h *Host) patience(next time.Time) uint32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.byKey) == 0 {
		return windows.INFINITE
	}
	return uint32(max(time.Until(next).Milliseconds(), 0) + 1)
}

// look sees what has become of an attempt. Where nothing else lives Empty comes
// before Exited, so that nobody takes the tree for one that has left something
// over. The caller holds mu.
func (h *Host) look(a *attempt) (told []Event) {
	if a.empty && a.exited {
		return nil
	}
	exit, ended := h.exitOf(a)
	if !ended {
		return nil
	}
	switch empty, onlyHosts := h.vacant(a); {
	case empty && !a.empty:
		a.empty = true
		told = append(told, Event{Leaf: a.Leaf, Kind: Empty})
	case onlyHosts && a.lingers.IsZero():
		a.lingers = time.Now()
		return nil
	case onlyHosts && !a.exited && time.Since(a.lingers) < hostLinger:
		return nil
	}
	if !a.exited {
		a.exited = true
		told = append(told, Event{Leaf: a.Leaf, Kind: Exited, Exit: exit})
	}
	if a.exited && a.empty {
		h.forget(a)
	}
	return told
}

// exitOf reads how the first process ended, if it has.
func (h *Host) exitOf(a *attempt) (exit deputy.Exit, ended bool) {
	if a.process == 0 {
		return deputy.Exit{Unknown: "it ended while no part of deputy was running to hold its exit code"}, true
	}
	if state, err := windows.WaitForSingleObject(a.process, 0); err == nil && state == uint32(windows.WAIT_TIMEOUT) {
		return exit, false
	}
	var code uint32
	if err := windows.GetExitCodeProcess(a.process, &code); err != nil {
		return deputy.Exit{Unknown: "its exit code cannot be read: " + err.Error()}, true
	}
	return deputy.Exit{Code: new(int(code))}, true
}

// vacant says whether nothing lives in the job, or console hosts alone.
func (h *Host) vacant(a *attempt) (empty, onlyHosts bool) {
	if a.job == 0 {
		return true, false
	}
	active, err := a.job.active()
	if err != nil || active == 0 {
		return err == nil, false
	}
	living, err := a.job.living()
	return false, err == nil && len(living) == 0
}
