package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"deputy"
)

// batch is what is written, and then synced, at once: records of one segment.
type batch struct {
	segment     uint64 // first record of that segment
	first, last uint64
	time        time.Time // of last
	head        digest    // hash of last
	data        []byte    // their lines
	reserve     bool      // it begins a segment in the reserve
	err         error     // instead of data: a record that could not be encoded
}

// Append adds a record, sets its Seq, Prev and Time, and returns Seq. It never
// waits for the disk: the record counts once Durable has reached it. After a
// failed write it still gives numbers, and Resume then cancels them.
func (j *Journal) Append(e *deputy.Event) uint64 {
	if j.segment == 0 || j.room <= 0 {
		j.begin(0)
	}
	return j.add(e)
}

// begin starts a new segment with a checkpoint. After a failed write, lost is
// the highest number that it took back.
func (j *Journal) begin(lost uint64) {
	e := j.options.Checkpoint()
	e.Type, e.Format = deputy.Checkpoint, Format
	if j.segment = j.seq + 1; lost != 0 {
		e.From, e.To = j.segment, lost
	}
	j.add(e)
	j.room = j.options.SegmentSize // a checkpoint larger than that must not begin one segment after the other
}

func (j *Journal) add(e *deputy.Event) uint64 {
	j.seq++
	e.Seq, e.Prev = j.seq, ""
	if j.seq > 1 {
		e.Prev = hex.EncodeToString(j.prev[:])
	}
	e.Time = deputy.Time{Time: j.options.Now().UTC().Truncate(time.Millisecond)}
	j.line.Reset()
	err := j.encoder.Encode(e) // ends the line
	line := j.line.Bytes()
	if err == nil {
		j.prev = sha256.Sum256(line[:len(line)-1])
		j.room -= int64(len(line))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.appended = j.seq
	switch {
	case j.err != nil: // nothing is written any more
	case err != nil:
		j.pending = append(j.pending, batch{err: fmt.Errorf("record %d cannot be encoded: %w", j.seq, err)})
	default:
		b := j.batch()
		b.data = append(b.data, line...)
		b.last, b.head, b.time = j.seq, j.prev, e.Time.Time
	}
	j.wake.Signal()
	return j.seq
}

// batch is the one that the next record goes into. j.mu is held.
func (j *Journal) batch() *batch {
	n := len(j.pending)
	if n == 0 || j.pending[n-1].segment != j.segment {
		j.pending = append(j.pending, batch{segment: j.segment, first: j.seq, data: j.spare})
		j.spare = nil
		n++
	}
	return &j.pending[n-1]
}

// Resume begins a new segment after a failed write, from the state that the
// owner has rolled back to what Durable covers. The numbers from Durable+1 on
// are given again: a checkpoint that names them, and a Cancelled record, come
// first. It waits for neither: Resumed says when both are durable, Err that they
// will not be. After a write that failed for want of room the segment is in the
// reserve, if there is one.
//
// Only then are the records from..to cancelled for good; until then a crash may
// bring some of them back, so that who asked for them must be told that their
// outcome is unknown. After another failure it may be called again.
func (j *Journal) Resume() (from, to uint64, err error) {
	j.mu.Lock()
	cause := j.err
	if cause == nil || cause == errClosed {
		j.mu.Unlock()
		return 0, 0, cause
	}
	// The writer has let go of the failed segment and waits.
	if j.durable >= j.resumed { // whatever was lost before is cancelled
		j.lost = 0
	}
	j.lost = max(j.lost, j.seq)
	from, to = j.durable+1, j.lost
	j.seq, j.prev, j.appended = j.durable, j.head, j.durable
	j.err, j.hold = nil, true
	j.mu.Unlock()

	j.begin(to)
	j.add(&deputy.Event{Type: deputy.Cancelled, From: from, To: to, Reason: cause.Error()})
	j.mu.Lock()
	if len(j.pending) > 0 {
		j.pending[0].reserve = NoRoom(cause)
	}
	j.hold, j.resumed = false, j.seq
	j.wake.Signal()
	j.mu.Unlock()
	return from, to, nil
}

// Resumed says whether what the last Resume began is durable.
func (j *Journal) Resumed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err == nil && j.durable >= j.resumed
}
