// Package clock is time that nobody can set: the clock that runs from the boot of
// the machine on, also while it sleeps, the name of that boot, and timers on it.
// Durations of tasks are reckoned by it, so that neither a set clock nor a restart
// of deputy changes them.
package clock

import (
	"cmp"
	"container/heap"
	"time"
)

// maxSleep bounds how late a timer can be after the machine slept: the runtime's
// clock stands still then, the boot clock does not.
const maxSleep = 30 * time.Second

// Timer is one thing to do at a time of the boot clock.
type Timer struct {
	at    int64  // ns
	turn  uint64 // of those of one time the first that was made is done first
	do    func()
	index int // in the heap; -1: done or cancelled
}

// At is when it is due, in ns of the boot clock.
func (t *Timer) At() int64 { return t.at }

// Timers belong to one loop: it waits for Due, then calls Run. Nobody else may use
// them, so they need no lock.
type Timers struct {
	now  func() int64
	made uint64
	heap timerHeap
	wake *time.Timer
}

// NewTimers reads the time, in ns, from now: Now of this package, or a test's.
func NewTimers(now func() int64) *Timers {
	return &Timers{now: now, wake: time.NewTimer(maxSleep)}
}

// Due receives when Run may have something to do.
func (ts *Timers) Due() <-chan time.Time { return ts.wake.C }

// After has something done in a while.
func (ts *Timers) After(d time.Duration, do func()) *Timer { return ts.At(ts.now()+int64(d), do) }

// At has something done at a time of the clock, in ns; the past stands for at once.
func (ts *Timers) At(ns int64, do func()) *Timer {
	ts.made++
	t := &Timer{at: ns, turn: ts.made, do: do}
	heap.Push(&ts.heap, t)
	if t.index == 0 {
		ts.rearm()
	}
	return t
}

// Cancel is safe on nil and on a timer that is done.
func (ts *Timers) Cancel(t *Timer) {
	if t != nil && t.index >= 0 {
		heap.Remove(&ts.heap, t.index)
	}
}

// Run does all that is due, then waits for the next.
func (ts *Timers) Run() {
	now := ts.now()
	for len(ts.heap) > 0 && ts.heap[0].at <= now {
		heap.Pop(&ts.heap).(*Timer).do()
	}
	ts.rearm()
}

func (ts *Timers) rearm() {
	d := maxSleep
	if len(ts.heap) > 0 {
		d = min(d, time.Duration(max(0, ts.heap[0].at-ts.now())))
	}
	ts.wake.Reset(d)
}

type timerHeap []*Timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].at, h[j].at), cmp.Compare(h[i].turn, h[j].turn)) < 0
}
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *timerHeap) Push(x any) {
	t := x.(*Timer)
	t.index = len(*h)
	*h = append(*h, t)
}
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}
