// Package history is the server's index of the journal, for queries. It is fed
// the journal's records in their order, keeps what lives and what has just
// changed in memory, and writes everything behind to an SQLite database, which
// can be thrown away: what it cannot read or does not recognise is rebuilt from
// the journal.
//
//	Apply ──▶ tasks in memory ──▶ pending batch ──(writer goroutine)──▶ SQLite
//	              │                    │                                  │
//	Task, Tasks ──┴────────────────────│──────────────────────────────────┤
//	Events ────────────────────────────┴──────────────────────────────────┘
//
// A reader sees every record that was applied before it asked. The invariant
// behind that: a task that lives, or whose last change is not committed yet, is
// in memory, and what is in memory goes before what SQLite says.
package history

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"deputy"
)

// Errors that callers tell apart.
var (
	// ErrForeign: the database was made from another journal. It is empty now:
	// follow the journal from From, which is 1.
	ErrForeign = errors.New("the history was made from another journal; it is emptied and must be built again")
	// ErrUnknownTask: no task has this id.
	ErrUnknownTask = errors.New("no such task")
	// ErrCursor: the cursor is not one that Tasks gave.
	ErrCursor = errors.New("the cursor is not one of this list")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("the history is closed")
)

// Bounds of memory and of the writer's rhythm.
const (
	batchBytes  = 1 << 20                // lines after which a batch is written at once
	roomBytes   = 4 << 20                // lines after which Apply waits for the writer
	batchLines  = 4096                   // as batchBytes, in records
	roomLines   = 4 * batchLines         // as roomBytes, in records
	linger      = 500 * time.Millisecond // how long a lone record waits for others, to cost one transaction with them
	retryWrite  = time.Second            // between two tries of a write that failed
	recentTasks = 1024                   // ended tasks that stay in memory after they are written
)

// History is the index. Apply belongs to one goroutine; all else may be called
// by any.
type History struct {
	path string

	due  chan struct{} // a batch is full, or someone waits for it
	some chan struct{} // a batch is not empty
	quit chan struct{} // closed by Close
	done chan struct{} // closed when the writer has ended

	mu     sync.RWMutex // guards what follows
	store  *store
	tasks  map[string]*entry
	order  []*entry // by rising ord; dead ones are left in it until there are many
	dead   int
	recent []*entry // ring of ended tasks that are written; evicted when overwritten
	oldest int      // next place in recent

	applied uint64 // seq of the last record taken in
	hash    string // of the last record, as the database remembered it at Open
	checked bool   // the first record since Open fitted hash
	latest  int64  // latest time of any record, ms
	top     int64  // highest ord given
	floor   uint64 // records up to this seq are retired

	pending *batch
	writing *batch        // taken, not committed yet; nil: none
	busy    bool          // the writer uses the database
	written uint64        // seq of the last committed record
	commit  chan struct{} // closed at the next commit, or when it fails for good
	room    *sync.Cond    // pending was taken, busy ended, or err was set
	grown   chan struct{} // closed at the next Apply; nil: nobody waits
	err     error         // why nothing is applied any more
	fault   error         // why the last write failed; nil: it did not
	closed  bool
}

// Open opens the database at path, whose folder must exist, or makes it. One
// that is corrupt, of a newer version or otherwise not to be read is replaced by
// an empty one.
func Open(path string) (*History, error) {
	s, known, err := openOrReplace(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open history %s: %w", path, err)
	}
	h := &History{
		path: path,
		due:  make(chan struct{}, 1), some: make(chan struct{}, 1),
		quit: make(chan struct{}), done: make(chan struct{}),
		commit: make(chan struct{}),
	}
	h.room = sync.NewCond(&h.mu)
	h.adopt(s, known)
	go h.write()
	return h, nil
}

// adopt makes what a database knows the state of the index.
func (h *History) adopt(s *store, k *known) {
	h.store = s
	h.tasks = make(map[string]*entry, len(k.live))
	h.order, h.dead = nil, 0
	h.recent, h.oldest = make([]*entry, recentTasks), 0
	h.applied, h.written, h.hash, h.latest, h.floor = k.last, k.last, k.hash, k.latest, k.floor
	h.top, h.checked = 0, false
	h.pending = newBatch()
	for _, t := range k.live {
		t.Waits = t.State == deputy.Queued
		h.add(t)
	}
	h.top = max(h.top, k.top)
}

// Reset empties the index, for a journal that is not the one it was made from
// (one that ends before Applied, for example). Next is 1 after it.
func (h *History) Reset() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reset()
}

func (h *History) reset() error {
	for h.busy && h.err == nil {
		h.room.Wait()
	}
	if h.err != nil {
		return h.err
	}
	h.store.close()
	removeDatabase(h.path)
	s, k, err := openOrReplace(h.path)
	if err != nil {
		h.err = fmt.Errorf("cannot make history %s anew: %w", h.path, err)
		return h.err
	}
	for _, e := range h.tasks {
		e.wake()
		e.finish()
	}
	h.adopt(s, k)
	return nil
}

// Memory says that the index is in memory alone, for the disk was full when it
// was opened. It needs not begin with the first record then: with that of any
// segment, and knows what lives.
func (h *History) Memory() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.store.memory
}

// Room says whether the database could be on the disk again.
func (h *History) Room() bool { return roomFor(h.path) }

// Next is the sequence number of the record that comes next.
func (h *History) Next() uint64 { return h.Applied() + 1 }

// From is the sequence number from which the journal must be followed: that of
// the last record that the index has, to see whether it is the same there.
func (h *History) From() uint64 { return max(h.Applied(), 1) }

// Applied is the sequence number of the last record that readers see; 0: none.
func (h *History) Applied() uint64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.applied
}

// Stats is the index at one moment.
type Stats struct {
	Applied uint64 // seq of the last record that readers see
	Written uint64 // seq of the last record in the database
	Live    int    // tasks that have not ended
	Held    int    // tasks in memory
	Pending int    // bytes of records that wait to be written
	Fault   error  // why the last write failed; nil: it did not
}

// Stats counts what memory holds.
func (h *History) Stats() Stats {
	h.mu.RLock()
	defer h.mu.RUnlock()
	s := Stats{Applied: h.applied, Written: h.written, Held: len(h.tasks), Pending: h.pending.bytes, Fault: h.fault}
	if h.writing != nil {
		s.Pending += h.writing.bytes
	}
	for _, e := range h.tasks {
		if e.task.endedSeq == 0 {
			s.Live++
		}
	}
	return s
}

// Close writes what was applied, and closes the database. What cannot be
// written is told; the journal still has it.
func (h *History) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	close(h.quit)
	h.room.Broadcast()
	h.mu.Unlock()
	<-h.done
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = ErrClosed
	h.announce()
	err := h.fault
	if cerr := h.store.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("cannot close history %s: %w", h.path, err)
	}
	return nil
}

func hashOf(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

// millis is t as the database has it.
func millis(t deputy.Time) int64 { return t.UnixMilli() }

// fromMillis is the reverse of millis.
func fromMillis(ms int64) deputy.Time { return deputy.Time{Time: time.UnixMilli(ms).UTC()} }
