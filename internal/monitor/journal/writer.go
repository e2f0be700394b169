package journal

import (
	"bytes"
	"errors"
	"io/fs"
	"os"

	"deputy/internal/monitor/durable"
)

// write makes durable what is appended: all that has gathered while it was busy
// goes to disk with one write and one fdatasync (group commit).
func (j *Journal) write() {
	defer close(j.stopped)
	for {
		batches, reserve, more := j.await()
		if !more {
			return
		}
		for i := range batches {
			if err := j.commit(&batches[i]); err != nil {
				j.fail(err)
				break
			}
			j.options.Notify()
		}
		if reserve > 0 {
			j.makeReserve(reserve)
		}
	}
}

// await waits for something to do: batches to write, a reserve to make. It says
// false once the journal is being closed and there is nothing left.
func (j *Journal) await() (batches []batch, reserve int64, more bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for (len(j.pending) == 0 || j.hold) && j.asked == 0 && !j.closing {
		j.wake.Wait()
	}
	if !j.hold {
		batches, j.pending = j.pending, nil
	}
	reserve, j.asked, j.making = j.asked, 0, j.asked > 0
	return batches, reserve, len(batches) > 0 || !j.closing
}

// commit puts one batch on disk and then says so.
func (j *Journal) commit(b *batch) error {
	if b.err != nil {
		return b.err
	}
	begins := b.segment == b.first
	if begins {
		if err := j.create(b); err != nil {
			return err
		}
	}
	if _, err := j.live.Write(b.data); err != nil {
		return err
	}
	if begins { // the file's name must be as durable as what is in it
		if err := errors.Join(j.live.Sync(), durable.Dir(j.dir)); err != nil {
			return err
		}
	} else if err := fdatasync(j.live); err != nil {
		return err
	}
	j.settle(b)
	return nil
}

// settle makes a batch that is on disk known.
func (j *Journal) settle(b *batch) {
	kept := bytes.Clone(b.data) // of exact size: the buffer goes back to Append
	j.mu.Lock()
	defer j.mu.Unlock()
	if b.segment == b.first {
		if n := len(j.segments); n > 0 {
			j.segments[n-1].closed = true
		}
		j.segments = append(j.segments, Segment{File: j.live.Name(), First: b.first})
	}
	s := &j.segments[len(j.segments)-1]
	j.tail.add(piece{segment: b.segment, offset: s.Bytes, first: b.first, data: kept})
	s.Last, s.Time, s.head = b.last, b.time, b.head
	s.Bytes += int64(len(b.data))
	j.durable, j.head = b.last, b.head
	if cap(b.data) <= tailSize {
		j.spare = b.data[:0]
	}
	j.settled.Broadcast()
}

// create begins a file. The one before it is whole and durable, or has failed.
func (j *Journal) create(b *batch) (err error) {
	name := segmentFile(j.dir, b.segment)
	var f *os.File
	if b.reserve {
		f, err = j.useReserve(name)
	}
	if f == nil { // there is none, or its room is not the matter
		f, err = newSegment(name)
	}
	if err != nil {
		return err
	}
	if j.live != nil {
		j.live.Close() // synced already
	}
	j.live = f
	return nil
}

func newSegment(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		// Nothing durable is in it: not even its first record is. An earlier attempt left it.
		if err = os.Remove(name); err == nil {
			f, err = os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
		}
	}
	return f, err
}

// fail closes the live segment for good: after a failed sync the kernel may have
// dropped the data and call the file clean, so that a second sync would lie
// (fsync(2), NOTES). What was not durable is cut off as well as that still works.
func (j *Journal) fail(err error) {
	j.mu.Lock()
	size := int64(0) // of the live file: what is durable in it
	if n := len(j.segments); n > 0 && j.live != nil && j.segments[n-1].File == j.live.Name() {
		size = j.segments[n-1].Bytes
	}
	j.mu.Unlock()
	if j.live != nil {
		if size == 0 {
			_ = os.Remove(j.live.Name())
		} else {
			_ = truncate(j.live, size)
		}
		_ = j.live.Close()
		j.live = nil
	}
	j.mu.Lock()
	j.err, j.pending = err, nil // last: Resume may go on from here
	j.settled.Broadcast()
	j.mu.Unlock()
	j.options.Notify()
}
