// Package fakejournal is a journal whose disk is memory and fails by a test's script:
// at any record it may lose it, keep it, or refuse it.
//
// What always holds: a Disk is what is durable, and outlives a Journal, as the machine
// does the monitor. A record counts when Durable has reached it; what was appended and
// is not durable is gone with a crash. Time passes by timers alone, so that in a bubble
// of testing/synctest nothing waits.
package fakejournal

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"deputy"
	"deputy/internal/monitor/journal"
)

// syncTime is how long the disk takes for whatever was appended until it begins.
const syncTime = time.Millisecond

// Fate is what becomes of a record on its way to the disk.
type Fate int

const (
	Kept     Fate = iota
	Lost          // the monitor dies before it is durable
	Orphaned      // the monitor dies when it is durable, and has not been told
	Refused       // it cannot be written
)

// ErrRefused is why a record cannot be written.
var ErrRefused = errors.New("the disk refuses it")

var errDead = errors.New("the monitor is dead")

// Disk is what outlives the monitor.
type Disk struct {
	Fate  func(nth int, e *deputy.Event) Fate // of the nth record that is written, from 1; nil: all are kept
	Crash func()                              // called when the monitor dies, by a goroutine of its own

	mu      sync.Mutex // guards what follows
	lines   [][]byte   // of durable records, the first with number 1
	written int
}

// Events are all that is durable, in order.
func (d *Disk) Events() []deputy.Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	events := make([]deputy.Event, len(d.lines))
	for i, line := range d.lines {
		if err := json.Unmarshal(line, &events[i]); err != nil {
			panic(fmt.Sprintf("a record that was written cannot be read: %v", err))
		}
	}
	return events
}

// Written is how many records were handed to the disk.
func (d *Disk) Written() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.written
}

// fate is that of the next record.
func (d *Disk) fate(line []byte) Fate {
	d.mu.Lock()
	d.written++
	nth := d.written
	d.mu.Unlock()
	if d.Fate == nil {
		return Kept
	}
	var e deputy.Event
	if err := json.Unmarshal(line, &e); err != nil {
		panic(err)
	}
	return d.Fate(nth, &e)
}

// Options are those of journal.Options that a monitor sets.
type Options struct {
	Checkpoint func() *deputy.Event
	Notify     func() // something has become durable, or failed; called by the disk's goroutine
}

// Journal is one monitor's.
type Journal struct {
	disk    *Disk
	o       Options
	wake    chan struct{}
	crashed chan struct{}
	closed  chan struct{}
	ended   chan struct{}

	once    sync.Once  // of crashed
	mu      sync.Mutex // guards what follows
	some    sync.Cond  // something became durable, or failed
	seq     uint64
	lost    uint64 // the highest number that was taken back
	pending []line
	durable uint64
	resumed uint64
	err     error
}

type line struct {
	seq  uint64
	text []byte
}

// Open takes up what is on a disk.
func Open(d *Disk, o Options) *Journal {
	n := uint64(len(d.Events()))
	j := &Journal{disk: d, o: o, wake: make(chan struct{}, 1), crashed: make(chan struct{}), closed: make(chan struct{}), ended: make(chan struct{}),
		seq: n, durable: n}
	j.some.L = &j.mu
	go j.write()
	return j
}

// Replay applies what is on the disk, from the last checkpoint on.
func (j *Journal) Replay(apply func(*deputy.Event) error) error {
	events := j.disk.Events()
	from := 0
	for i := range events {
		if events[i].Type == deputy.Checkpoint {
			from = i
		}
	}
	for i := range events[from:] {
		if err := apply(&events[from+i]); err != nil {
			return err
		}
	}
	return nil
}

// Append adds a record and gives its number.
func (j *Journal) Append(e *deputy.Event) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.append(e)
}

// append is called with mu held.
func (j *Journal) append(e *deputy.Event) uint64 {
	j.seq++
	e.Seq, e.Time = j.seq, deputy.Time{Time: time.Now().UTC().Truncate(time.Millisecond)}
	text, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	if j.err == nil {
		j.pending = append(j.pending, line{j.seq, text})
		j.rouse()
	}
	return j.seq
}

func (j *Journal) rouse() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// write is the disk's goroutine.
func (j *Journal) write() {
	defer close(j.ended)
	for {
		select {
		case <-j.wake:
		case <-j.closed:
			return
		}
		time.Sleep(syncTime)
		j.mu.Lock()
		batch := j.pending
		j.pending = nil
		j.mu.Unlock()
		for _, l := range batch {
			if !j.keep(l) {
				break
			}
		}
		select {
		case <-j.crashed:
			return
		default:
			j.o.Notify()
		}
	}
}

// keep writes one record; false: no more are.
func (j *Journal) keep(l line) bool {
	select {
	case <-j.crashed:
		return false
	default:
	}
	fate := j.disk.fate(l.text)
	if fate == Kept || fate == Orphaned {
		j.disk.mu.Lock()
		j.disk.lines = append(j.disk.lines, l.text)
		j.disk.mu.Unlock()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	defer j.some.Broadcast()
	if fate == Lost || fate == Orphaned {
		j.err = errDead
		j.once.Do(func() { close(j.crashed) })
		go j.disk.Crash()
		return false
	}
	if fate == Refused {
		j.err, j.pending = ErrRefused, nil
		return false
	}
	j.durable = l.seq
	return true
}

// Durable is the number of the last record on the disk.
func (j *Journal) Durable() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.durable
}

// Err is why nothing is written; nil: it is.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// Resume begins anew after a failure, as journal.Journal does: with a checkpoint and
// the record of what was cancelled.
func (j *Journal) Resume() (from, to uint64, err error) {
	j.mu.Lock()
	cause := j.err
	if cause == nil {
		j.mu.Unlock()
		return 0, 0, nil
	}
	j.lost = max(j.lost, j.seq)
	from, to = j.durable+1, j.lost
	j.seq, j.err = j.durable, nil
	j.mu.Unlock()
	e := j.o.Checkpoint()
	e.From, e.To = from, to
	j.mu.Lock()
	defer j.mu.Unlock()
	j.append(e)
	j.append(&deputy.Event{Type: deputy.Cancelled, From: from, To: to, Reason: cause.Error()})
	j.resumed = j.seq
	return from, to, nil
}

// Resumed says whether what Resume began is durable.
func (j *Journal) Resumed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err == nil && j.durable >= j.resumed
}

// Flush returns when all that was appended is durable, or why it is not.
func (j *Journal) Flush() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.durable < j.seq && j.err == nil {
		j.some.Wait()
	}
	return j.err
}

// Die is the death of the monitor: nothing more of it comes to the disk.
func (j *Journal) Die() {
	j.once.Do(func() { close(j.crashed) })
	j.mu.Lock()
	defer j.mu.Unlock()
	j.err, j.pending = errDead, nil
	j.some.Broadcast()
}

// Close ends the disk's goroutine once it rests.
func (j *Journal) Close() {
	close(j.closed)
	<-j.ended
}

// What a journal in segments has besides: this one has one of them, and all the room.
func (*Journal) Reserve(int64)                           {}
func (*Journal) Short() error                            { return nil }
func (*Journal) Live() uint64                            { return 1 }
func (*Journal) Head() journal.Head                      { return journal.Head{} }
func (*Journal) Retirement(int) ([]*deputy.Event, error) { return nil, nil }
func (*Journal) Remove(int) error                        { return nil }
