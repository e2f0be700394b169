package output

import (
	"fmt"
	"hash/maphash"
	"os"
	"sync"
	"time"

	"deputy"
)

const (
	minStep  = 64 << 10 // bytes; a gap grows by at least a step while the task writes
	maxStep  = 2 << 20  // bytes
	lastStep = 1        // byte; for the last look, which leaves no more than the cap
	sample   = 64       // bytes remembered at each end, to see whether they stay
)

// capped is one file under its cap. The task may write to it at any time. Its
// offsets are those of the output, which begins at base in the file.
type capped struct {
	path  string
	limit int64 // bytes
	seed  maphash.Seed

	watch    int32 // of inotify; 0: none. Guarded by Capper.mu
	finished bool  // guarded by Capper.mu

	mu       sync.Mutex // guards what follows
	base     int64      // lead, or 0 where there is none, or none any more
	note     note       // as told
	punched  int64      // the gap is punched up to here; behind note.to after a crash or a rewrite
	size     int64      // bytes, when last looked at
	lookedAt time.Time
	head     mark // of the first bytes
	tail     mark // of the last bytes before size
	broken   bool // punching failed; the cap is given up
}

// mark is the hash of bytes that must never change: [from, to).
type mark struct {
	from, to int64
	hash     uint64
}

// newCapped takes up a file where an earlier monitor left it.
func newCapped(path string, limit int64, seed maphash.Seed) (*capped, error) {
	note, err := readNote(path)
	if err != nil {
		return nil, err
	}
	st, err := measure(path)
	if err != nil {
		return nil, fmt.Errorf("cannot see output: %w", err)
	}
	base := int64(0)
	if st.hasLead() {
		base = lead // or it was cut, as the next look finds
	}
	c := freshCapped(path, limit, base, seed)
	c.note, c.punched = note, note.from
	return c, nil
}

// freshCapped is a file that was just made.
func freshCapped(path string, limit, base int64, seed maphash.Seed) *capped {
	return &capped{path: path, limit: max(limit, 0), seed: seed, base: base, lookedAt: time.Now()}
}

// look sees how far the file has grown and punches what is over the cap and at
// least a step. It returns the bytes grown and how long that took. The caller
// holds c.mu.
func (c *capped) look(step int64) (grown int64, took time.Duration, err error) {
	st, err := measure(c.path)
	if err != nil {
		return 0, 0, fmt.Errorf("cannot see output: %w", err)
	}
	now := time.Now()
	size := st.size - c.base // less than nothing if it was cut
	grown, took = size-c.size, now.Sub(c.lookedAt)
	c.lookedAt = now
	if grown == 0 && !c.isDue(st, size, step) && !c.isOver(st, size) {
		return grown, took, nil
	}
	file, _, err := openToRead(c.path)
	if err != nil {
		return grown, took, fmt.Errorf("cannot cap output: %w", err)
	}
	defer file.Close()
	return grown, took, c.lookInto(file, st, step)
}

// lookInto looks into the file, which is open for reading and was found to be st.
func (c *capped) lookInto(file *os.File, st status, step int64) error {
	if err := c.checkRewritten(file, st); err != nil {
		return err
	}
	due, over := c.isDue(st, c.size, step), c.isOver(st, c.size)
	if !due && !over {
		return nil
	}
	cut, _, err := openToCut(c.path)
	if err != nil {
		return fmt.Errorf("cannot cap output: %w", err)
	}
	defer cut.Close()
	if due {
		from, to := c.target(c.size, st.block)
		err = c.punch(cut, from, to)
	}
	if over && err == nil {
		err = c.trim(cut)
	}
	return err
}

// untouched says whether nothing was ever written to the file: a hole has no
// blocks, and what is cut is shorter than the lead.
func (c *capped) untouched(st status) bool {
	return c.size == 0 && c.note == (note{}) && st.size == c.base && st.allocated <= 0
}

// isDue says whether what a file of size bytes has over its cap is at least a step.
func (c *capped) isDue(st status, size, step int64) bool {
	from, to := c.target(size, st.block)
	return to-max(c.punched, from) >= step && !c.broken || c.punched < c.note.to
}

// target is the gap that a file of size bytes should have, in whole blocks: an
// empty one if to <= from. The bytes of both marks are kept under any cap.
func (c *capped) target(size, block int64) (from, to int64) {
	block = min(max(block, 4096), 1<<20)
	from = (max(c.limit/2, sample)+c.base+block-1)/block*block - c.base
	if c.note.from < c.note.to {
		from = c.note.from
	}
	to = max((max(size-max(c.limit-c.limit/2, sample), 0)+c.base)/block*block-c.base, 0)
	return from, to
}

// step is how far over the cap a file may be before it is worth a punch.
func (c *capped) step() int64 { return min(max(c.limit/4, minStep), maxStep) }

// checkRewritten compares the file with what was known of it. A task only
// appends, unless it opened its own output anew to cut or rewrite it, as
// `echo x > /dev/stdout` does. A cut takes the lead. Another rewrite of bytes
// that nobody saw yet cannot be told from appending.
func (c *capped) checkRewritten(file *os.File, st status) error {
	cut := c.base > 0 && st.mode&writable != 0 && !leadStands(file, st)
	if cut {
		c.base = 0
	}
	size := max(st.size-c.base, 0)
	same := !cut && size >= max(c.size, c.note.to) && c.unchanged(file, c.head) && c.unchanged(file, c.tail)
	c.size = size
	if same {
		c.head = c.markOf(file, 0, min(size, sample))
		c.tail = c.markOf(file, max(size-sample, c.note.to, 0), size)
		return nil
	}
	told := c.note
	c.note.rewritten = true
	c.note.to = max(min(c.note.to, size), c.note.from)
	c.punched = c.note.from // the task may have written into the hole
	c.head = c.markOf(file, 0, min(size, sample))
	c.tail = c.markOf(file, max(size-sample, c.note.to, 0), size)
	if c.note == told {
		return nil
	}
	return c.note.write(c.path)
}

// markOf reads [from, to) of file; it is an empty mark if that cannot be read.
func (c *capped) markOf(file *os.File, from, to int64) mark {
	var buf [sample]byte
	if from >= to {
		return mark{}
	}
	if n, _ := file.ReadAt(buf[:to-from], c.base+from); int64(n) < to-from {
		return mark{}
	}
	return mark{from: from, to: to, hash: maphash.Bytes(c.seed, buf[:to-from])}
}

func (c *capped) unchanged(file *os.File, m mark) bool {
	return c.markOf(file, m.from, m.to) == m
}

// punch tells the gap [from, to), then takes its bytes. A gap told before is
// never made smaller.
func (c *capped) punch(file *os.File, from, to int64) error {
	before := c.note
	if to > max(c.note.to, from) {
		c.note.from, c.note.to = from, to
		if err := c.note.write(c.path); err != nil {
			c.note = before
			return err
		}
	}
	start := max(c.punched, c.note.from)
	if start >= c.note.to {
		return nil
	}
	err := punchHole(file, c.base+start, c.note.to-start)
	if err == nil {
		c.punched = c.note.to
		return nil
	}
	c.broken = true
	c.punched = c.note.to
	if hasNoHoles(err) {
		// Not a byte was taken: none is said to be.
		c.note = before
		if err := c.note.write(c.path); err != nil {
			return err
		}
		c.punched = c.note.to
		return fmt.Errorf("cannot cap output: this file system has no holes (%w); output grows without bound, keep it on %s", err, holed)
	}
	return fmt.Errorf("cannot cap output: %w", &os.PathError{Op: "punch a hole in", Path: c.path, Err: err})
}

// result is what is left of the file.
func (c *capped) result() deputy.Output {
	info := c.note.info(c.size)
	return deputy.Output{Bytes: info.Size, Gap: info.Gap, Rewritten: info.Rewritten}
}
