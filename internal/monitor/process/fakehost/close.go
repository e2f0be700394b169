package fakehost

import (
	"slices"
	"time"

	"deputy/internal/monitor/process"
)

// Crash is the death of the monitor: nothing more is told, what lives lives on, and
// its births go on without it, as its forker may have their orders still. It waits for
// nobody, so that anyone may call it, Events too; an event that is being told is the last.
func (h *Host) Crash() {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	h.crash()
}

func (h *Host) crash() {
	if h.dead {
		return
	}
	h.closed, h.dead = true, true
	for _, name := range h.world.names() {
		h.world.leaves[name].orphan()
	}
	h.leave()
	close(h.crashed)
	h.rouse()
}

// orphan gives a leaf's first process to the keeper.
func (l *leaf) orphan() {
	if l.child && l.ended && !l.buried {
		l.world.reaped = append(l.world.reaped, l.reapedAs())
	}
	l.child, l.gone, l.settled = false, nil, nil
}

func (l *leaf) reapedAs() Exit {
	return Exit{l.attempt.PID, tasksPath + "/" + l.name, statusOf(l.exit)}
}

// leave ends the watch of the world. The caller holds mu.
func (h *Host) leave() {
	for _, a := range h.attempts {
		if a.grace != nil {
			a.grace.Stop()
		}
	}
	if h.world.host == h {
		h.world.host = nil
	}
}

// Close ends the watch. With leaveTasks all that lives lives on, as children of who is
// opened next, as after the execution of a new program. Without, everything of ours is
// killed and its leaves are removed.
func (h *Host) Close(leaveTasks bool) error {
	var failed error
	if !leaveTasks {
		failed = process.KillAll(2*time.Millisecond, h.live, h.Kill)
	}
	h.world.mu.Lock()
	h.closed = true
	h.rouse()
	h.world.mu.Unlock()
	h.busy.Wait()
	<-h.told
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	if h.dead {
		return failed
	}
	for leaf := range h.owned {
		if l := h.world.leaves[leaf]; l != nil && !leaveTasks && l.living() == 0 {
			h.world.forget(l)
		}
	}
	h.leave()
	return failed
}

// live lists what is watched; nil: nothing is, and all is told.
func (h *Host) live() (leaves []string) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	if h.dead || len(h.attempts)+len(h.news) == 0 && !h.telling {
		return nil
	}
	leaves = []string{}
	for leaf := range h.attempts {
		leaves = append(leaves, leaf)
	}
	slices.Sort(leaves)
	return leaves
}
