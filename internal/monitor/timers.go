package monitor

import (
	"container/heap"
	"time"
)

// maxSleep bounds how late a timer can be after the machine slept: the runtime's
// clock stands still then, the boot clock does not.
const maxSleep = 30 * time.Second

// timer is one thing to do at a time of the boot clock.
type timer struct {
	at    int64 // ns
	do    func()
	index int // in the heap; -1: done or cancelled
}

// timers are the monitor's; only its loop uses them.
type timers struct {
	heap timerHeap
	wake *time.Timer
}

func newTimers() *timers { return &timers{wake: time.NewTimer(maxSleep)} }

func (ts *timers) after(d time.Duration, do func()) *timer { return ts.at(bootNow()+int64(d), do) }

func (ts *timers) at(ns int64, do func()) *timer {
	t := &timer{at: ns, do: do}
	heap.Push(&ts.heap, t)
	if t.index == 0 {
		ts.rearm()
	}
	return t
}

// cancel is safe on nil and on a timer that is done.
func (ts *timers) cancel(t *timer) {
	if t != nil && t.index >= 0 {
		heap.Remove(&ts.heap, t.index)
	}
}

// run does all that is due, then waits for the next.
func (ts *timers) run() {
	now := bootNow()
	for len(ts.heap) > 0 && ts.heap[0].at <= now {
		heap.Pop(&ts.heap).(*timer).do()
	}
	ts.rearm()
}

func (ts *timers) rearm() {
	d := maxSleep
	if len(ts.heap) > 0 {
		d = min(d, time.Duration(max(0, ts.heap[0].at-bootNow())))
	}
	ts.wake.Reset(d)
}

type timerHeap []*timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *timerHeap) Push(x any) {
	t := x.(*timer)
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
