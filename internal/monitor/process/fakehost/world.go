// Package fakehost is a process.Host whose trees of processes exist only in memory
// and live by the scripts of a test.
//
// What always holds: the World is what lives, and outlives a Host, as the machine
// does the monitor; a Host is what one monitor knows of it. One lock guards both.
// Time passes by time.Now and timers alone, so that in a bubble of testing/synctest
// nothing waits; a Host has one goroutine, which tells its events and ends with it.
// What a Host promises is said by hosttest, of this one and of the real ones.
package fakehost

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"deputy"
	"deputy/internal/monitor/clock"
	"deputy/internal/monitor/process"
)

// World is one machine: its processes, its leaves, its boot.
type World struct {
	cast  Cast
	proof string // process.ProofCgroup or process.ProofSubreaper

	mu     sync.Mutex // guards the rest, and all of the Hosts
	silent bool
	began  time.Time // this boot
	boot   int
	pid    int // the newest
	leaves map[string]*leaf
	reaped []Exit
	host   *Host // that watches; nil: none does
}

// upSince is how long a machine is up when its first monitor begins: 0 on its clock is no time.
const upSince = time.Minute

// Exit is what a keeper tells of a process that it has reaped.
type Exit struct {
	PID    int
	Cgroup string
	Status Status
}

// NewWorld boots a machine with cgroups.
func NewWorld(cast Cast) *World { return newWorld(cast, process.ProofCgroup) }

// NewSubreaperWorld boots a machine without them: a subreaper ends what outlives a
// first process, and the news of that comes only when nothing lives.
func NewSubreaperWorld(cast Cast) *World { return newWorld(cast, process.ProofSubreaper) }

func newWorld(cast Cast, proof string) *World {
	return &World{cast: cast, proof: proof, began: time.Now().Add(-upSince), boot: 1, pid: 1000, leaves: map[string]*leaf{}}
}

// Silence has the kernel tell nothing of processes that are nobody's children
// here, as before Linux 6.15: ForeignExit tells, or nobody.
func (w *World) Silence() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silent = true
}

// Clock tells the time of this boot, on which process.Attempt.BootNS lies.
func (w *World) Clock() clock.Clock {
	w.mu.Lock()
	defer w.mu.Unlock()
	began := w.began
	return clock.Clock{Boot: fmt.Sprint("boot-", w.boot), Wall: time.Now, Now: func() int64 { return int64(time.Since(began)) }}
}

func (w *World) bootNS() int64 { return int64(time.Since(w.began)) }

// Reboot ends everything: no process, no leaf and no Host is left, and nobody is told.
func (w *World) Reboot() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.leaves {
		w.forget(l)
		for _, p := range l.processes {
			p.stop()
		}
	}
	w.boot, w.began, w.reaped = w.boot+1, time.Now().Add(-upSince), nil
	if w.host != nil {
		w.host.crash()
	}
}

// Reaped gives, once, what the keeper of a crashed monitor has to tell the next one.
func (w *World) Reaped() []Exit {
	w.mu.Lock()
	defer w.mu.Unlock()
	told := w.reaped
	w.reaped = nil
	return told
}

// Bury is the death of a keeper without its monitor's successor: what has ended
// after a crash is reaped by the system, and nobody knows how it ended.
func (w *World) Bury() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reaped = nil
	for _, l := range w.leaves {
		l.buried = l.buried || l.ended && !l.child
	}
}

// Living lists the processes of a leaf, whoever watches it.
func (w *World) Living(leaf string) []deputy.Survivor {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.leaves[leaf].survivors()
}

func (w *World) names() []string {
	var names []string
	for name := range w.leaves {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// forget removes a leaf: nothing is born in it any more. The caller holds mu.
func (w *World) forget(l *leaf) {
	l.killed = true
	if w.leaves[l.name] == l {
		delete(w.leaves, l.name)
	}
}

// after does something of the world as time has passed; at once, if none has to.
// The caller holds mu, and f is called with it.
func (w *World) after(d time.Duration, f func()) *time.Timer {
	switch {
	case d == Forever:
		return nil
	case d <= 0:
		f()
		return nil
	}
	return time.AfterFunc(d, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		f()
	})
}
