package journal

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"deputy"
)

// Retire deletes the oldest n segments, never the live one, after a durable
// record of each one's head. A crash in between leaves whole segments at the
// front, which a later call takes.
func (j *Journal) Retire(n int) error {
	if err := j.retire(n); err != nil {
		return fmt.Errorf("cannot retire segments of the journal: %w", err)
	}
	return nil
}

func (j *Journal) retire(n int) error {
	list := j.Segments()
	if n < 0 || n >= len(list) {
		return fmt.Errorf("%d of %d were asked for, and the live one must stay", n, len(list))
	}
	list = list[:n]
	for _, s := range list {
		if !s.closed {
			return fmt.Errorf("the hash of record %d cannot be read from the segment behind %s; see: deputy audit verify", s.Last, s.File)
		}
	}
	for _, s := range list {
		j.Append(&deputy.Event{Type: deputy.Retired, From: s.First, To: s.Last, Head: hex.EncodeToString(s.head[:])})
	}
	if err := j.Flush(); err != nil {
		return err
	}
	for i, s := range list {
		j.mu.Lock() // first out of the list: a reader that then misses the file looks again
		j.segments = j.segments[1:]
		j.mu.Unlock()
		if err := os.Remove(s.File); err != nil {
			j.mu.Lock()
			j.segments = append(list[i:i+1:i+1], j.segments...)
			j.mu.Unlock()
			return errors.Join(err, syncDir(j.dir))
		}
	}
	return syncDir(j.dir)
}
