// Package ledger is the loop's side of the journal. What happens is recorded first:
// the state changes by the record, and whatever depends on its being durable is done
// when it is. While the journal cannot be written nothing new is taken, and what
// happens to tasks waits here until it can be.
package ledger

import (
	"encoding/json"
	"log"
	"time"

	"deputy"
	"deputy/internal/monitor/journal"
	"deputy/internal/monitor/loop"
	"deputy/internal/monitor/state"
)

// Journal is what records are written to: *journal.Journal.
type Journal interface {
	writing
	resuming
	reserving
	segments
}

// writing never waits for the disk.
type writing interface {
	Append(e *deputy.Event) (seq uint64)
	Durable() (seq uint64) // everything up to it is on the disk
	Err() error            // why nothing can be written; nil: it can
}

type resuming interface {
	Resume() (from, to uint64, err error) // begins a new segment; it fails where there is nothing to resume
	Resumed() bool                        // the last Resume was carried out
}

type reserving interface {
	Reserve(bytes int64)
	Short() error // why the reserve is not whole; nil: it is
}

type segments interface {
	Live() uint64 // the segment that is written
	Head() journal.Head
	Retirement(n int) ([]*deputy.Event, error)
	Remove(n int) error
}

// Notice is what the loop is told of the journal, to act on it.
type Notice int

const (
	Advanced  Notice = iota // records have become durable, or the attempt has failed
	TakenBack               // what was not durable is none: its numbers are given anew
	Failing                 // it cannot be written, and nobody knows until when
	Resumed                 // it is written again
	Short                   // its reserve is not whole: nothing new is taken
	Writable                // what had been held back can be recorded
)

// Options are what a ledger needs.
type Options struct {
	State  *state.State
	Loop   *loop.Loop
	Log    *log.Logger
	Tell   func(Notice)                                      // called by the loop
	Policy func() (digest string, files []deputy.PolicyFile) // in force; "": none yet
	Syslog string                                            // path of the system's log, for heads; "": none
}

// Ledger belongs to the loop.
type Ledger struct {
	o       Options
	state   *state.State
	loop    *loop.Loop
	log     *log.Logger
	journal Journal

	pending    []entry // recorded, not durable yet, in order
	unrecorded []entry // what happened while the journal could not be written
	failed     error   // why it cannot; nil: it can
	resuming   error   // the failure after which a new segment is being begun; nil: none is
	cancelled  []entry // requests that were lost by it, and are told how that went
	reserve    reserve
	heads      heads
	retiring   bool // segments of the journal are
}

// New makes a ledger; Use gives it its journal.
func New(o Options) *Ledger { return &Ledger{o: o, state: o.State, loop: o.Loop, log: o.Log} }

// Use begins to record into a journal.
func (l *Ledger) Use(j Journal) { l.journal = j }

// After is what follows a record. Each may be nil.
type After struct {
	Durable     func()              // it is on the disk
	Lost        func(*deputy.Error) // it never will be: of Accepted alone, which is taken back
	Outstanding func()              // it will be, but nobody knows when
}

// entry is an event that was handed to the journal.
type entry struct {
	seq     uint64
	event   *deputy.Event
	after   After
	answers []answer
}

// answer waits for a record, and is given the number that it has then.
type answer struct {
	do   func(seq uint64)
	lost func(*deputy.Error) // instead, if that cannot be said now
}

// Record hands an event to the journal and changes the state by it. An end changes
// the state only once it is durable: until then the task is not forgotten.
func (l *Ledger) Record(e *deputy.Event, after After) { l.append(entry{event: e, after: after}) }

func (l *Ledger) append(p entry) {
	e := p.event
	if l.failed != nil || l.resuming != nil {
		l.unrecorded = append(l.unrecorded, p)
		return
	}
	p.seq = l.journal.Append(e)
	if e.Type == deputy.Ended {
		if t := l.state.Tasks[e.Task]; t != nil {
			t.Ending = true
		}
	} else if err := l.state.Apply(e); err != nil {
		l.log.Printf("fault: %v", err)
	}
	l.pending = append(l.pending, p)
	l.fitReserve()
}

// Last is the number of the last record, durable or not.
func (l *Ledger) Last() uint64 {
	if n := len(l.pending); n > 0 {
		return l.pending[n-1].seq
	}
	return l.journal.Durable()
}

// Durable is the number of the last record that is durable.
func (l *Ledger) Durable() uint64 { return l.journal.Durable() }

// WhenDurable calls do once the record seq is durable, which it may be already,
// or lost when it never will be, or nobody knows when.
func (l *Ledger) WhenDurable(seq uint64, do func(seq uint64), lost func(*deputy.Error)) {
	for i := range l.pending {
		if p := &l.pending[i]; p.seq == seq {
			p.answers = append(p.answers, answer{do, lost})
			return
		}
	}
	do(seq)
}

// WhenRecorded is WhenDurable of the last record, which may still have to wait for
// its turn: a new segment may be being begun.
func (l *Ledger) WhenRecorded(do func(seq uint64), lost func(*deputy.Error)) {
	if n := len(l.unrecorded); n > 0 {
		p := &l.unrecorded[n-1]
		p.answers = append(p.answers, answer{do, lost})
		return
	}
	l.WhenDurable(l.Last(), do, lost)
}

// Synced is called after the journal wrote, or failed to.
func (l *Ledger) Synced() {
	err := l.journal.Err() // before Durable: what was durable when it failed is not lost
	durable := l.journal.Durable()
	n := 0
	for n < len(l.pending) && l.pending[n].seq <= durable {
		n++
	}
	ready := l.pending[:n]
	l.pending = l.pending[n:]
	for i := range ready {
		l.settle(&ready[i])
	}
	l.o.Tell(Advanced)
	switch {
	case l.resuming != nil && err != nil:
		l.resumeFailed(err)
	case l.resuming != nil && l.journal.Resumed():
		l.resumed()
	case l.resuming == nil && err != nil && l.failed == nil:
		l.journalFailed(err)
	}
	l.lookAtReserve()
	l.sendNewHead()
}

// settle does what waits for a record that is durable.
func (l *Ledger) settle(p *entry) {
	if p.event.Type == deputy.Ended {
		l.state.Apply(p.event)
	}
	if p.after.Durable != nil {
		p.after.Durable()
	}
	for _, a := range p.answers {
		a.do(p.seq)
	}
}

// Checkpoint is what a new segment of the journal begins with.
func (l *Ledger) Checkpoint() *deputy.Event {
	l.state.ExpireKeys(func(at state.Moment, wall deputy.Time) time.Duration { return l.loop.Since(at.Boot, at.NS, wall.Time) })
	e := &deputy.Event{Type: deputy.Checkpoint}
	e.Policy, e.Files = l.o.Policy()
	e.Checkpoint, _ = json.Marshal(l.state.Unended()) // no type in it can fail
	return e
}
