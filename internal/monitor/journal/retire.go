package journal

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"deputy"
	"deputy/internal/monitor/durable"
)

// Retirement gives the records of the heads of the oldest n segments, never of the
// live one. Once they are appended and durable the segments may be removed.
func (j *Journal) Retirement(n int) ([]*deputy.Event, error) {
	list := j.Segments()
	if n < 0 || n >= len(list) {
		return nil, fmt.Errorf("cannot retire segments of the journal: %d of %d were asked for, and the live one must stay", n, len(list))
	}
	var events []*deputy.Event
	for _, s := range list[:n] {
		if !s.closed {
			return nil, fmt.Errorf("cannot retire segments of the journal: the hash of record %d cannot be read from the segment behind %s; see: deputy audit verify", s.Last, s.File)
		}
		events = append(events, &deputy.Event{Type: deputy.Retired, From: s.First, To: s.Last, Head: hex.EncodeToString(s.head[:])})
	}
	return events, nil
}

// Remove deletes the oldest n segments, whose retirement is durable. A crash in
// between leaves whole segments at the front, which a later retirement takes. It
// takes as long as the disk does, and may be called by any goroutine, by one at a
// time.
func (j *Journal) Remove(n int) error {
	list := j.Segments()[:n]
	var err error
	for i, s := range list {
		j.mu.Lock() // first out of the list: a reader that then misses the file looks again
		j.segments = j.segments[1:]
		j.mu.Unlock()
		if err = os.Remove(s.File); err != nil {
			j.mu.Lock()
			j.segments = append(list[i:i+1:i+1], j.segments...)
			j.mu.Unlock()
			break
		}
	}
	if err = errors.Join(err, durable.Dir(j.dir)); err != nil {
		return fmt.Errorf("cannot remove retired segments of the journal: %w", err)
	}
	return nil
}
