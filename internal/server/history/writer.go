package history

import (
	"context"
	"fmt"
	"time"
)

// write is the writer goroutine: it alone changes the database.
func (h *History) write() {
	defer close(h.done)
	var collected uint64 // what is retired up to this record has been deleted
	for {
		if !h.await(collected < h.retired()) {
			return
		}
		s, b, floor := h.take()
		if b != nil && !h.commitBatch(s, b) {
			return
		}
		var err error
		if collected < floor {
			var more bool
			if more, err = s.collect(floor); err == nil && !more {
				collected = floor
			}
		}
		h.rest(err)
	}
}

// await returns when there is something to write: at once if rows are still to
// be collected or a batch is due, otherwise when records have had time to come
// together. It says false when Close was called and everything is written.
func (h *History) await(collecting bool) bool {
	select {
	case <-h.quit:
		return !h.idle()
	default:
	}
	if collecting {
		return true
	}
	select {
	case <-h.due:
		return true
	case <-h.some:
	case <-h.quit:
		return !h.idle()
	}
	timer := time.NewTimer(linger)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-h.due:
	case <-h.quit:
	}
	return true
}

func (h *History) retired() uint64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.floor
}

func (h *History) idle() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.err != nil || len(h.pending.lines) == 0
}

// take gives the database and what is pending for it: the index exactly as it
// is after the last record of the batch. No batch if nothing is pending.
func (h *History) take() (*store, *batch, uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy = true
	b := h.pending
	if len(b.lines) == 0 {
		return h.store, nil, h.floor
	}
	b.tasks = make([]*task, len(b.dirty))
	for i, e := range b.dirty {
		b.tasks[i], e.dirty = e.task, false
	}
	b.last, b.latest, b.floor = h.applied, h.latest, h.floor
	h.writing, h.pending = b, newBatch()
	h.room.Broadcast()
	return h.store, b, h.floor
}

// commitBatch writes until it has succeeded. It says false when that is hopeless:
// the database is corrupt, or Close does not wait any longer.
func (h *History) commitBatch(s *store, b *batch) bool {
	for {
		err := s.write(b)
		h.settle(b, err)
		if err == nil {
			return true
		}
		if isCorrupt(h.noted(err)) {
			return false
		}
		select {
		case <-h.quit:
			return false
		case <-time.After(retryWrite):
		}
	}
}

// settle notes what became of a batch.
func (h *History) settle(b *batch, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault = err
	if err != nil {
		return
	}
	h.writing, h.written = nil, b.last
	for _, e := range b.dirty {
		if e.task.endedSeq != 0 && !e.dirty && !e.dead {
			h.keepRecent(e)
		}
	}
	close(h.commit)
	h.commit = make(chan struct{})
}

// keepRecent keeps an ended task that is written in memory for a while: most
// are asked for soon after their end.
func (h *History) keepRecent(e *entry) {
	if old := h.recent[h.oldest]; old != nil {
		h.drop(old)
	}
	h.recent[h.oldest] = e
	h.oldest = (h.oldest + 1) % len(h.recent)
}

// rest says that the writer no longer uses the database.
func (h *History) rest(err error) {
	_ = h.noted(err)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy = false
	h.room.Broadcast()
}

// noted passes on an error of the database. One that says that the database is
// corrupt ends the index for good: the file is removed, so that the next Open
// builds it again.
func (h *History) noted(err error) error {
	if err == nil || !isCorrupt(err) {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = fmt.Errorf("cannot use history %s: %w; it is built again at the next start", h.path, err)
		removeDatabase(h.path)
		h.announce()
	}
	return err
}

// flush waits until everything applied so far is in the database.
func (h *History) flush(ctx context.Context) error {
	h.mu.RLock()
	target := h.applied
	h.mu.RUnlock()
	for {
		h.mu.RLock()
		written, err, commit := h.written, h.err, h.commit
		h.mu.RUnlock()
		if err != nil || written >= target {
			return err
		}
		signal(h.due)
		select {
		case <-commit:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
