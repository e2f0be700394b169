package history

import (
	"bytes"
	"fmt"
)

// Apply takes in the next record: seq is its number, line its text, which
// belongs to the index from then on. Readers see it when Apply returns. It
// waits only while the writer is behind by several MiB.
//
// The first record may be one that the index has already: the last of them. It
// then shows that the journal is the one that the index was made from, and
// changes nothing.
//
// ErrForeign is told once, before anything was applied; any other error is
// final for this History.
func (h *History) Apply(seq uint64, line []byte) error {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	r, err := decode(line)
	if err != nil {
		return fmt.Errorf("cannot apply record %d: %w", seq, err)
	}
	kept, err := slim(r, line)
	if err != nil {
		return fmt.Errorf("cannot apply record %d: %w", seq, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.pending.full() && h.err == nil && !h.closed {
		h.room.Wait()
	}
	switch {
	case h.err != nil:
		return h.err
	case h.closed:
		return ErrClosed
	case r.Seq != seq:
		return fmt.Errorf("cannot apply record %d: it says that it is number %d", seq, r.Seq)
	}
	if h.meets(r, line) {
		return nil
	}
	if err := h.follows(r); err != nil {
		return err
	}
	h.latest = max(h.latest, millis(r.Time))
	h.project(r)
	h.applied = seq
	h.pending.add(r, line, kept, h.latest)
	h.announceRecord()
	return nil
}

// meets says whether the first record is the last that the index has.
func (h *History) meets(r *record, line []byte) bool {
	if h.checked || h.applied == 0 || r.Seq != h.applied || hashOf(line) != h.hash {
		return false
	}
	h.checked = true
	return true
}

// follows sees that a record is the next one of the journal that the index was
// made from. The chain is looked at once, where the two meet: the monitor has
// verified the rest. An empty index begins with whatever the journal still has.
func (h *History) follows(r *record) error {
	if h.applied > 0 && !h.checked && r.Prev != h.hash {
		if err := h.reset(); err != nil {
			return err
		}
		return ErrForeign
	}
	if h.applied > 0 && r.Seq != h.applied+1 {
		return fmt.Errorf("cannot apply record %d: record %d comes next", r.Seq, h.applied+1)
	}
	h.checked = true
	return nil
}

// announceRecord wakes the writer and whoever waits for new records.
func (h *History) announceRecord() {
	if len(h.pending.lines) == 1 {
		signal(h.some)
	}
	if h.pending.ready() {
		signal(h.due)
	}
	if h.grown != nil {
		close(h.grown)
		h.grown = nil
	}
}

// announce wakes everyone who waits for anything, after err was set.
func (h *History) announce() {
	h.room.Broadcast()
	close(h.commit)
	h.commit = make(chan struct{})
	if h.grown != nil {
		close(h.grown)
		h.grown = nil
	}
	for _, e := range h.tasks {
		e.wake()
		e.finish()
	}
}

// signal wakes whoever listens to c, now or later.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
