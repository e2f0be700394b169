// Package logqueue writes a program's log and never makes the program wait for
// it: a pipe that nobody reads, a stopped terminal and a stopped log service take
// nothing, and may do so for ever. Lines wait in a bounded queue for one
// goroutine that writes them, in order. What finds no room, or cannot be written,
// is counted, and the count is written in its place once the log takes lines again.
package logqueue

import (
	"bytes"
	"io"
	"os"
	"sync"
	"time"
)

const (
	maxHeld = 1 << 20 // bytes that wait at most
	each    = 64      // bytes that a waiting entry costs beside its own
)

// LastWords is how long a program that ends waits for its log.
const LastWords = time.Second

// Notice writes to w, as the program's log has its lines, that so many were lost.
type Notice func(w io.Writer, lost uint64)

// Queue is the io.Writer of a logger that writes one line, or a few that belong
// together, at a time.
type Queue struct {
	write  func([]byte) (int, error) // of the log itself: may wait for ever
	notice Notice

	mu      sync.Mutex // guards what follows
	changed sync.Cond
	entries [][]byte
	held    int    // bytes of entries, and what they cost
	dropped uint64 // lines for which no room was left; until that is said nothing is taken
	total   uint64 // lines that were ever lost
	writing bool

	unsaid uint64 // lines that were lost before the first of entries; the writer's own
	broken bool   // what was written last did not end its line; the writer's own
}

// New makes a queue for a file, which may be a terminal, a pipe or anything else,
// and stays as it is: others write to it, too.
func New(f *os.File, notice Notice) *Queue {
	q := &Queue{write: writerOf(f), notice: notice}
	q.changed.L = &q.mu
	go q.run()
	return q
}

// Write takes p, or counts it as lost. It never waits, and never fails.
func (q *Queue) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.dropped > 0 || q.held+len(p)+each > maxHeld {
		q.dropped += lines(p)
		q.total += lines(p)
	} else {
		q.entries = append(q.entries, bytes.Clone(p))
		q.held += len(p) + each
	}
	q.changed.Broadcast()
	return len(p), nil
}

func lines(p []byte) uint64 {
	n := uint64(bytes.Count(p, []byte("\n")))
	if !bytes.HasSuffix(p, []byte("\n")) {
		n++
	}
	return n
}

// Lost says how many lines were ever lost.
func (q *Queue) Lost() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.total
}

// Flush waits until all that was taken is written or lost, for at most d.
func (q *Queue) Flush(d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	over := false
	timer := time.AfterFunc(d, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		over = true
		q.changed.Broadcast()
	})
	defer timer.Stop()
	for (q.writing || len(q.entries) > 0 || q.dropped > 0) && !over {
		q.changed.Wait()
	}
}

// run writes for as long as the program lives. What was dropped comes behind all
// that was taken before it; nothing was taken since.
func (q *Queue) run() {
	for {
		entry, dropped := q.next()
		q.unsaid += dropped
		if q.unsaid > 0 && q.say() {
			q.unsaid = 0
		}
		if entry != nil && (q.unsaid > 0 || !q.put(entry)) {
			q.unsaid += lines(entry)
			q.mu.Lock()
			q.total += lines(entry)
			q.mu.Unlock()
		}
	}
}

// next waits for an entry to write or, when none is left, for lines that were
// dropped.
func (q *Queue) next() (entry []byte, dropped uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writing = false
	q.changed.Broadcast()
	for len(q.entries) == 0 && q.dropped == 0 {
		q.changed.Wait()
	}
	q.writing = true
	if len(q.entries) == 0 {
		dropped, q.dropped = q.dropped, 0
		return nil, dropped
	}
	entry, q.entries = q.entries[0], q.entries[1:]
	q.held -= len(entry) + each
	return entry, 0
}

// say writes how many lines were lost.
func (q *Queue) say() bool {
	var b bytes.Buffer
	if q.broken {
		b.WriteByte('\n')
	}
	q.notice(&b, q.unsaid)
	return q.put(b.Bytes())
}

func (q *Queue) put(p []byte) bool {
	n, err := q.write(p)
	if n > 0 {
		q.broken = p[n-1] != '\n'
	}
	return err == nil
}
