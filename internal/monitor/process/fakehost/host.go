package fakehost

import (
	"errors"
	"os"
	"sync"
	"time"

	"deputy"
	"deputy/internal/monitor/process"
)

const (
	// statusGrace is how long a status may stay away that another must tell, as on Linux.
	statusGrace = 5 * time.Second

	tasksPath = "/deputy-fake/tasks"
)

// Host is what one monitor knows of a World. Its methods may be called from any
// goroutine; after Crash they do nothing.
type Host struct {
	world   *World
	options process.Options
	wake    chan struct{} // holds one when there is news, or we are closed
	told    chan struct{} // closed when the last of it is told
	crashed chan struct{}
	busy    sync.WaitGroup // births under way

	// World.mu guards the rest.
	closed   bool
	dead     bool // closed by Crash
	owned    map[string]bool
	attempts map[string]*attempt // by leaf, until both events are told
	news     []process.Event
	telling  bool // an event is being told
}

// attempt is one that is watched.
type attempt struct {
	process.Attempt
	leaf          *leaf // nil: the machine knows none
	known         bool  // its first process was found, so that its end is seen
	exited, empty bool  // these events were told
	grace         *time.Timer
}

// Open begins to watch. At most one Host is open on a World.
func Open(w *World, o process.Options) (*Host, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.host != nil {
		return nil, errors.New("cannot watch processes: another monitor does")
	}
	h := &Host{world: w, options: o, wake: make(chan struct{}, 1), told: make(chan struct{}), crashed: make(chan struct{}),
		owned: map[string]bool{}, attempts: map[string]*attempt{}}
	w.host = h
	go h.tell()
	return h, nil
}

// tell tells the news in their order, each outside of the lock.
func (h *Host) tell() {
	defer close(h.told)
	for range h.wake {
		for {
			h.world.mu.Lock()
			if h.telling = !h.dead && len(h.news) > 0; !h.telling {
				over := h.closed
				h.world.mu.Unlock()
				if over {
					return
				}
				break
			}
			e := h.news[0]
			h.news = h.news[1:]
			h.world.mu.Unlock()
			h.options.Events(e)
		}
	}
}

func (h *Host) rouse() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// happened leaves an event for the goroutine. The caller holds mu.
func (h *Host) happened(e process.Event) {
	h.news = append(h.news, e)
	h.rouse()
}

// look tells what has become of an attempt. Where nothing else lives Empty is
// told before Exited, as by the real ones. The caller holds mu.
func (h *Host) look(a *attempt) {
	switch l := a.leaf; {
	case h.world.proof == process.ProofSubreaper:
		if l == nil {
			h.ended(a, deputy.Exit{Unknown: "its subreaper left no finding"}, 0)
		} else if l.ended && l.living() == 0 {
			h.ended(a, l.exit, l.left)
		}
	case !a.exited && a.known && l.ended && (l.child || !h.world.silent):
		h.ended(a, l.exit, 0)
	case !a.exited && (!a.known || l.ended):
		h.awaitStatus(a)
	case a.exited:
		h.lookEmpty(a)
	}
}

// awaitStatus bounds the wait for a status that another must tell.
func (h *Host) awaitStatus(a *attempt) {
	if a.grace != nil {
		return
	}
	a.grace = h.world.after(statusGrace, func() {
		if h.attempts[a.Leaf] == a && !h.closed {
			h.ended(a, deputy.Exit{Unknown: "it ended while deputy was not running, or was not its parent, and nobody tells its status"}, 0)
		}
	})
}

func (h *Host) ended(a *attempt, exit deputy.Exit, leftover int) {
	if a.exited {
		return
	}
	a.exited = true
	h.lookEmpty(a)
	h.happened(process.Event{Leaf: a.Leaf, Kind: process.Exited, Exit: exit, Leftover: leftover})
}

func (h *Host) lookEmpty(a *attempt) {
	if a.empty || a.leaf != nil && a.leaf.living() > 0 {
		return
	}
	a.empty = true
	h.happened(process.Event{Leaf: a.Leaf, Kind: process.Empty})
	h.drop(a)
}

// drop ends the watch of an attempt.
func (h *Host) drop(a *attempt) {
	if a.grace != nil {
		a.grace.Stop()
	}
	if h.attempts[a.Leaf] == a {
		delete(h.attempts, a.Leaf)
	}
}

// Release gives the leaf back. What still lives is no longer watched, and keeps it.
func (h *Host) Release(leaf string) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	if h.closed {
		return
	}
	delete(h.owned, leaf)
	if a := h.attempts[leaf]; a != nil {
		h.drop(a)
	}
	if l := h.world.leaves[leaf]; l != nil && l.living() == 0 {
		h.world.forget(l)
	}
}

// Pidfd gives nothing: what is in memory has no descriptor.
func (h *Host) Pidfd(string) (*os.File, error) { return nil, process.ErrGone }

// Orphan is not asked: there is nothing to keep.
func (h *Host) Orphan(string) bool { return false }
