package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"deputy"
	"deputy/internal/monitor/durable"
)

// Recovered is what Open found in the last segment.
type Recovered struct {
	File    string // "" where the journal is new
	Records int
	Head    Head  // the last record
	Cuts    []Cut // what a crash had left unfinished, and Open removed
	Reserve bool  // there is one: the journal was not living on it, nor without

	segments []Segment // the last one, or none
}

// Cut is the unfinished end of a segment. It was never acknowledged.
type Cut struct {
	File   string
	Record int // line in File, from 1
	Bytes  int64
}

func (c Cut) String() string {
	return fmt.Sprintf("%s, record %d: cut %d bytes of a record that was never finished", c.File, c.Record, c.Bytes)
}

// recover finds the end of the chain and makes it durable: a killed monitor may
// have left records that only the kernel's cache holds.
func (j *Journal) recover() (*Recovered, error) {
	list, err := listSegments(j.dir)
	if err != nil {
		return nil, err
	}
	r := &Recovered{Reserve: hasReserve(j.dir)}
	for len(list) > 0 {
		last := &list[len(list)-1]
		s := newScan(list[len(list)-1:])
		if err := s.run(); err != nil {
			return nil, err
		}
		cut, err := s.torn()
		if err != nil {
			return nil, fmt.Errorf("%w; see all damage with: deputy audit verify --journal %s; then restore %s from a copy, or begin a new journal with: mv %s %s.damaged",
				err, j.dir, last.File, j.dir, j.dir)
		}
		if cut != nil && cut.Bytes > 0 {
			r.Cuts = append(r.Cuts, *cut)
		}
		if s.whole == 0 { // not even its checkpoint: the chain ends one file earlier
			if err := errors.Join(os.Remove(last.File), durable.Dir(j.dir)); err != nil {
				return nil, err
			}
			list = list[:len(list)-1]
			continue
		}
		if err := j.take(last, s, cut); err != nil {
			return nil, err
		}
		r.File, r.Records, r.Head = last.File, s.at.line, s.end.head()
		r.segments = []Segment{*last}
		break
	}
	j.segments = list
	return r, nil
}

// torn says what of a segment is an unfinished record, if anything: bytes at the
// very end that no newline ends, or one last line that is none. Whatever else is
// wrong is damage.
func (s *scan) torn() (*Cut, error) {
	cut := &Cut{File: s.segments[0].File, Record: s.lines + 1, Bytes: s.size - s.whole}
	if len(s.faults) > 0 {
		bad := s.faults[0]
		if len(s.faults) > 1 || bad.Record != s.lines || s.last.ok || s.rest > 0 {
			return nil, errors.New(bad.String())
		}
		cut.Record = s.lines
	}
	if cut.Bytes == 0 && s.whole > 0 {
		return nil, nil
	}
	return cut, nil
}

// cutTo cuts a file, but leaves it its blocks: it may have been the reserve, on
// a disk that is still full.
func cutTo(f *os.File, size int64) error {
	held, err := blocks(f)
	if err == nil {
		err = truncate(f, size)
	}
	if held > size {
		_ = fallocate(f, held) // without them it is a segment like any other
	}
	return err
}

// take makes a verified segment the one to append to.
func (j *Journal) take(last *Segment, s *scan, cut *Cut) error {
	f, err := os.OpenFile(last.File, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if cut != nil {
		err = cutTo(f, s.whole)
	}
	if err = errors.Join(err, f.Sync(), durable.Dir(j.dir)); err != nil {
		f.Close()
		return err
	}
	head := s.end.head()
	last.Last, last.Bytes, last.Time, last.head = s.end.seq, s.whole, head.Time.Time, s.end.sum
	j.live, j.segment = f, last.First
	j.seq, j.prev = s.end.seq, s.end.sum
	j.durable, j.head, j.appended = j.seq, j.prev, j.seq
	if j.room = j.options.SegmentSize - last.Bytes; s.format < Format {
		j.room = 0
	}
	return nil
}

// Replay gives the checkpoint and then each record after it to fn, and stops at
// its first error. It must be called before the first Append.
func (r *Recovered) Replay(fn func(*deputy.Event) error) error {
	type events struct {
		list []*deputy.Event
		err  error
	}
	decode := func(c chunk) (got events) {
		for line := range bytes.Lines(c.data) {
			e := new(deputy.Event)
			if got.err = json.Unmarshal(line, e); got.err != nil {
				break
			}
			got.list = append(got.list, e)
		}
		return got
	}
	err := inOrder(chunks(r.segments, chunkSize), decode, func(got events) error {
		for _, e := range got.list {
			if err := fn(e); err != nil {
				return fmt.Errorf("record %d: %w", e.Seq, err)
			}
		}
		return got.err
	})
	if err != nil {
		return fmt.Errorf("cannot replay %s: %w", r.File, err)
	}
	return nil
}
