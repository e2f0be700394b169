package history

import "deputy"

// batch is what one transaction writes: the records since the last one, and
// each task that they changed, once.
type batch struct {
	lines []line
	bytes int // of lines
	dirty []*entry
	gone  map[string]bool // tasks whose output was removed

	// Set when the writer takes it: the index exactly after its last record.
	tasks    []*task // of dirty
	last     uint64
	lastLine []byte // as it came, to be hashed
	latest   int64
	floor    uint64
}

// line is one record as it is kept.
type line struct {
	seq    uint64
	latest int64 // latest time of any record up to this one, ms
	head   bool  // the first of its segment
	text   []byte
}

func newBatch() *batch { return &batch{gone: map[string]bool{}} }

func (b *batch) add(r *record, original, kept []byte, latest int64) {
	b.lines = append(b.lines, line{seq: r.Seq, latest: latest, head: r.Type == deputy.Checkpoint, text: kept})
	b.bytes += len(kept)
	b.lastLine = original
}

func (b *batch) ready() bool { return b.bytes >= batchBytes || len(b.lines) >= batchLines }
func (b *batch) full() bool  { return b.bytes >= roomBytes || len(b.lines) >= roomLines }

// from gives up to limit of the lines whose number is at least seq. The copy
// keeps a slow reader from holding the whole batch in memory.
func (b *batch) from(seq uint64, limit int) []line {
	if b == nil || len(b.lines) == 0 || b.lines[len(b.lines)-1].seq < seq {
		return nil
	}
	i := 0
	if first := b.lines[0].seq; seq > first {
		i = int(seq - first) // numbers rise by one
	}
	return append([]line(nil), b.lines[i:min(i+limit, len(b.lines))]...)
}
