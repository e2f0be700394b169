// Package loop is the one goroutine that owns the monitor's state. Whatever is done
// elsewhere (the disk, births, the server, the kernel's news) posts its result to it.
//
// Nothing that the loop calls may wait: not for a disk, a process or another
// goroutine. What may take time goes to Work, what a stop does to Act.
package loop

import (
	"sync"

	"deputy/internal/monitor/clock"
)

const (
	inboxSize = 4096
	actors    = 64 // who signal and kill at the same time
	workers   = 2  // ends and releases at the same time: one for each core of a small machine
)

// Loop runs what is posted, one after the other, and timers when they are due.
// Members and the methods of Timers belong to the loop itself.
type Loop struct {
	clock.Clock
	*clock.Timers

	inbox  chan func()
	work   chan func()
	acting chan struct{} // one for each stop that signals or kills
	end    sync.Once
	ending chan struct{} // closed: the loop is to end
	over   chan struct{} // closed: it has
}

// New makes a loop that does not run yet. What is posted to it waits.
func New(c clock.Clock) *Loop {
	return &Loop{
		Clock: c, Timers: clock.NewTimers(c.Now),
		inbox: make(chan func(), inboxSize), work: make(chan func(), inboxSize), acting: make(chan struct{}, actors),
		ending: make(chan struct{}), over: make(chan struct{}),
	}
}

// Run serves until End is called. It is called once.
func (l *Loop) Run() {
	defer close(l.over)
	for {
		select {
		case do := <-l.inbox:
			do()
		case <-l.Due():
			l.Timers.Run()
		case <-l.ending:
			return
		}
	}
}

// StartWorkers begins to serve Work, also before Run. They end with the loop.
func (l *Loop) StartWorkers() {
	for range workers {
		go func() {
			for {
				select {
				case do := <-l.work:
					do()
				case <-l.over:
					return
				}
			}
		}()
	}
}

// End has Run return; what is still in the inbox is not done. Anybody may call it,
// any number of times.
func (l *Loop) End() { l.end.Do(func() { close(l.ending) }) }

// Ending says whether End was called.
func (l *Loop) Ending() bool {
	select {
	case <-l.ending:
		return true
	default:
		return false
	}
}

// Over is closed when Run has returned.
func (l *Loop) Over() <-chan struct{} { return l.over }

// Post has do called by the loop. Only other goroutines may use it.
func (l *Loop) Post(do func()) {
	select {
	case l.inbox <- do:
	case <-l.over: // nobody serves the inbox any more
	}
}

// Do has do called by the loop, and returns when that is done, or, with false, when
// the loop is over. Only other goroutines may use it.
func (l *Loop) Do(do func()) bool {
	done := make(chan struct{})
	l.Post(func() {
		defer close(done)
		do()
	})
	select {
	case <-done:
		return true
	case <-l.over:
		return false
	}
}

// Work gives slow work (files, releases) to the workers; it posts its result.
func (l *Loop) Work(do func()) {
	select {
	case l.work <- do:
	default:
		go func() { // the loop never waits for the workers, who wait for it
			select {
			case l.work <- do:
			case <-l.over:
			}
		}()
	}
}

// Act gives what a stop does to goroutines of its own: it waits a moment for
// processes that do not stop, and neither a birth nor another's end may have to wait
// behind that.
func (l *Loop) Act(do func()) {
	go func() {
		l.acting <- struct{}{}
		defer func() { <-l.acting }()
		do()
	}()
}
