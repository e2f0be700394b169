// Package journal is the monitor's append-only, hash-chained record of all that
// was asked, decided and done.
//
// It is a folder of segments, each a file of JSON lines that is named by the
// number of its first record. A record is one deputy.Event and begins
//
//	{"seq":N,"prev":"HEX","time":"…","type":"…"
//
// where prev is the SHA-256 of the whole line before it, without its newline;
// only record 1 has none. Numbers rise by one from line to line and from file to
// file without a gap. Each segment begins with a checkpoint of all live state.
//
// A segment ends where the next one begins. What stands in its file behind that
// point was left by a failed write, was never acknowledged, and is no part of
// the journal; the checkpoint of the next segment then says so (from, to).
package journal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"deputy"
	"deputy/internal/monitor/durable"
)

// Format is the version of the records that this package writes, and the newest
// that it reads. A segment is of one format: whoever finds an older one begins a
// new segment with the first record.
//
//	1  the first
//	2  the end of a task has digests of what is kept of its output
const Format = 2

const (
	defaultSegmentSize = 64 << 20 // bytes
	tailSize           = 4 << 20  // bytes of newest records kept in memory for readers
)

var errClosed = errors.New("journal is closed")

// Options are what the journal needs from its owner; every one has a default.
type Options struct {
	// SegmentSize is how many bytes follow a checkpoint before the next segment
	// begins; 64 MiB by default.
	SegmentSize int64

	// Now is the clock; time.Now by default.
	Now func() time.Time

	// Checkpoint gives the first record of a new segment, with Files, Policy and
	// Checkpoint filled in. It is called inside Append (and Retire, Resume) and
	// must not call them. The state that it describes must not yet hold what the
	// record being appended brings: that one follows it.
	Checkpoint func() *deputy.Event

	// Lock is the lock file of another Journal of the same folder, which this one
	// goes on to hold instead of taking it; nil: none. One of another folder, that
	// has been moved away since, is passed over.
	Lock *os.File

	// Notify is called after every change of Durable, Err or Short, by the goroutine
	// that writes: it must not block, nor call Flush or Close.
	Notify func()
}

// Journal appends to one folder, which it holds locked. Append, Resume
// and Close belong to one goroutine; the other methods are for any.
type Journal struct {
	dir     string
	options Options
	lock    *os.File

	// Of the appending goroutine.
	seq     uint64        // number of the last record appended
	prev    digest        // its hash
	segment uint64        // first record of the segment being appended to; 0: none
	room    int64         // bytes until the next segment; <= 0: it is due
	lost    uint64        // highest number given to a record that a failed write took; see Resume
	resumed uint64        // the last record that Resume appended; 0: none. Written under mu
	line    *bytes.Buffer // the record being encoded
	encoder *json.Encoder // writes into line

	// Of the writing goroutine.
	live *os.File // the file of the last of segments; nil: none, or it failed

	mu       sync.Mutex
	wake     sync.Cond // for the writer: pending, asked or closing changed
	settled  sync.Cond // for Flush: durable, making or err changed
	pending  []batch   // appended, not yet taken by the writer
	spare    []byte    // the buffer that the writer gave back
	hold     bool      // the writer waits until more is appended: it must be one batch
	asked    int64     // a reserve of so many bytes is to be made; 0: it need not
	making   bool      // one is being made
	closing  bool
	appended uint64 // last record in pending or taken
	durable  uint64 // last record known to be on disk
	head     digest // its hash
	err      error
	segments []Segment // oldest first; only what is durable
	tail     tail
	reserved int64         // bytes of the reserve
	short    error         // why it is smaller than it should be
	stopped  chan struct{} // closed when the writer has ended
}

// Open locks dir (made if missing, mode 0700), verifies its last segment, cuts
// off what a crash left of a record that was being written, and gives what there
// is to replay. A journal that holds a damaged record, or one of a newer format,
// is refused with its place and the remedy.
func Open(dir string, o Options) (*Journal, *Recovered, error) {
	j, r, err := open(dir, o)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open journal: %w", err)
	}
	return j, r, nil
}

func open(dir string, o Options) (*Journal, *Recovered, error) {
	if o.SegmentSize <= 0 {
		o.SegmentSize = defaultSegmentSize
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Checkpoint == nil {
		o.Checkpoint = func() *deputy.Event { return new(deputy.Event) }
	}
	if o.Notify == nil {
		o.Notify = func() {}
	}
	dir = filepath.Clean(dir)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err = errors.Join(os.MkdirAll(dir, 0o700), durable.Dir(filepath.Dir(dir))); err != nil {
			return nil, nil, err
		}
	}
	lock, err := lockDir(dir, o.Lock)
	if err != nil {
		return nil, nil, err
	}
	j := &Journal{dir: dir, options: o, lock: lock, line: new(bytes.Buffer), stopped: make(chan struct{})}
	j.wake.L, j.settled.L = &j.mu, &j.mu
	j.encoder = json.NewEncoder(j.line)
	j.encoder.SetEscapeHTML(false)
	r, err := j.recover()
	if err != nil {
		lock.Close()
		return nil, nil, err
	}
	go j.write()
	return j, r, nil
}

// Lock is the locked file. Whoever holds a copy of its descriptor holds the lock.
func (j *Journal) Lock() *os.File { return j.lock }

// Durable is the number of the last record that is on disk, with all before it.
func (j *Journal) Durable() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.durable
}

// Err is not nil once a write or sync has failed: nothing after Durable is
// acknowledged any more, until Resume. Read Err before Durable: then Durable is
// final, and what lies behind it is lost.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// Live is the number of the record that the live segment begins with; 0: there
// is none.
func (j *Journal) Live() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.segments) == 0 {
		return 0
	}
	return j.segments[len(j.segments)-1].First
}

// Head names the last record that is on disk; zero: there is none.
func (j *Journal) Head() Head {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.durable == 0 {
		return Head{}
	}
	last := &j.segments[len(j.segments)-1]
	return Head{Seq: j.durable, Hash: hex.EncodeToString(j.head[:]), Time: deputy.Time{Time: last.Time}}
}

// Segments lists what is durable, oldest first; the last one is live.
func (j *Journal) Segments() []Segment {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.segments)
}

// Flush waits until everything appended before it is durable, and until the
// reserve that was asked for is made, or known to be short.
func (j *Journal) Flush() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for target := j.appended; j.err == nil && (j.durable < target || j.asked > 0 || j.making); {
		j.settled.Wait()
	}
	return j.err
}

// Close makes durable what was appended, and unlocks the folder. Nothing may be
// appended after it.
func (j *Journal) Close() error {
	err := j.Flush()
	j.mu.Lock()
	j.closing = true
	if j.err == nil {
		j.err = errClosed
	}
	j.wake.Signal()
	j.mu.Unlock()
	<-j.stopped
	if j.live != nil {
		err = errors.Join(err, j.live.Close())
	}
	return errors.Join(err, j.lock.Close())
}
