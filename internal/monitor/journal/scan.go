package journal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"

	"deputy"
)

const maxFaults = 1000 // that are described; more are only counted

// Fault is one place where the journal is not as it was written.
type Fault struct {
	File   string `json:"file"`
	Record int    `json:"record"` // line in File, from 1
	Seq    uint64 `json:"seq"`    // 0: it has none that can be read
	What   string `json:"what"`
}

func (f Fault) String() string {
	return fmt.Sprintf("%s, record %d (seq %d): %s", f.File, f.Record, f.Seq, f.What)
}

// scan follows the chain through some segments. Chunks are checked each for
// itself, in parallel; join then links them in order.
type scan struct {
	segments []Segment
	heads    []Head // exported ones, to look for
	chunk    int    // bytes
	progress func(bytes int64)

	// Where join stands.
	segment int    // -1 before the first chunk
	lines   int    // of this segment so far
	last    record // of the chain so far; !ok: there is none, or it is unreadable
	ended   bool   // this segment's last record was passed: the next one begins here
	extra   int64  // bytes behind it
	rest    int64  // bytes behind the last newline
	size    int64  // bytes of this segment so far
	whole   int64  // those of them up to its last good record
	format  int    // of this segment

	// What was found.
	faults  []Fault
	more    int // faults beyond maxFaults
	start   record
	records int64
	end     record // the last whole record
	at      place  // of end
	retired []deputy.Event
	found   map[uint64]sighting // of the records that heads name
	undone  int64               // bytes that failed writes left
}

// place is a line of a segment, from 1.
type place struct{ segment, line int }

type sighting struct {
	place
	sum digest
}

// span is what one chunk holds.
type span struct {
	chunk
	format      int // of the checkpoint, where chunk.begins
	lines       int
	first, last record
	faults      []Fault // Record counts in this chunk; 0 is the line before it
	retired     []deputy.Event
	found       map[uint64]sighting
	extra       int64  // bytes behind the segment's last record
	rest        int64  // bytes behind the last newline, where that is not extra
	end         record // the last whole record …
	endLine     int
	good        int64 // … and the bytes up to it
}

func newScan(list []Segment) *scan {
	return &scan{segments: list, chunk: chunkSize, segment: -1, found: map[uint64]sighting{}, progress: func(int64) {}}
}

// run reads everything. An error means that it could not be read, not that it is
// faulty.
func (s *scan) run() error {
	if err := inOrder(chunks(s.segments, s.chunk), s.check, s.join); err != nil {
		return err
	}
	s.leave(nil)
	return nil
}

// check looks at each line of a chunk, and at each link between two of them.
func (s *scan) check(c chunk) *span {
	p := &span{chunk: c, found: map[uint64]sighting{}}
	for data := c.data; len(data) > 0; {
		if p.last.ok && s.isEnd(c.segment, p.last.seq) {
			p.extra = int64(len(data))
			break
		}
		line, after, terminated := bytes.Cut(data, []byte{'\n'})
		if !terminated {
			p.rest = int64(len(data))
			break
		}
		r := readRecord(line)
		if p.lines++; p.lines == 1 {
			p.first = r
			if c.begins {
				p.format = formatOf(line)
			}
		}
		p.link(p.last, r, p.lines)
		p.keep(s.heads, r, line)
		data, p.last = after, r
		if r.ok {
			p.end, p.endLine = r, p.lines
			p.good = int64(len(c.data) - len(data))
		}
	}
	return p
}

// isEnd says whether seq is the last number before the next segment.
func (s *scan) isEnd(segment int, seq uint64) bool {
	return segment+1 < len(s.segments) && s.segments[segment+1].First == seq+1
}

// link records what is wrong between two neighbours, b being on the given line.
func (p *span) link(a, b record, line int) {
	switch {
	case len(p.faults) >= maxFaults:
	case !b.ok:
		p.faults = append(p.faults, Fault{Record: line, What: "this is not a whole record"})
	case !a.ok: // the first, or already told
	case b.seq > a.seq+1:
		p.faults = append(p.faults, Fault{Record: line, Seq: b.seq,
			What: fmt.Sprintf("before it the records %d to %d are missing", a.seq+1, b.seq-1)})
	case b.seq <= a.seq:
		p.faults = append(p.faults, Fault{Record: line, Seq: b.seq,
			What: fmt.Sprintf("it stands behind record %d: one of them was moved, repeated or renumbered", a.seq)})
	case b.root || b.prev != a.sum:
		p.faults = append(p.faults, Fault{Record: line - 1, Seq: a.seq,
			What: fmt.Sprintf("its hash is not the one that record %d names: one of the two was changed", b.seq)})
	}
}

// keep notes what is looked up when everything has been read.
func (p *span) keep(heads []Head, r record, line []byte) {
	if !r.ok {
		return
	}
	for _, h := range heads {
		if h.Seq == r.seq {
			p.found[r.seq] = sighting{place{p.segment, p.lines}, r.sum}
		}
	}
	if r.kind == deputy.Retired {
		var e deputy.Event
		if json.Unmarshal(line, &e) == nil {
			p.retired = append(p.retired, e)
		}
	}
}

// formatOf reads a checkpoint's format; 0 if it has none.
func formatOf(line []byte) int {
	var v struct {
		Format int `json:"format"`
	}
	_ = json.Unmarshal(line, &v) // 0 is what is then wrong with it
	return v.Format
}

// join adds the next chunk to the chain.
func (s *scan) join(p *span) error {
	s.progress(int64(len(p.data)))
	if p.segment != s.segment {
		s.leave(p)
		s.segment, s.lines, s.ended = p.segment, 0, false
		s.extra, s.rest, s.size, s.whole = 0, 0, 0, 0
	}
	if p.good > 0 && !s.ended {
		s.whole = s.size + p.good
	}
	s.size += int64(len(p.data))
	if s.ended {
		s.extra += int64(len(p.data))
		return nil
	}
	if p.begins {
		s.format = p.format
	}
	if s.format > Format {
		return fmt.Errorf("%s is of format %d, made by a newer deputy, and this one (%s) reads formats up to %d; install the newer version again",
			s.segments[p.segment].File, s.format, deputy.Version, Format)
	}
	if p.lines > 0 {
		s.joinLines(p)
	}
	s.extra += p.extra
	s.rest = p.rest
	return nil
}

func (s *scan) joinLines(p *span) {
	if s.lines == 0 && p.first.ok {
		s.checkStart(p)
	}
	if s.last.ok && p.first.ok {
		seam := new(span)
		seam.link(s.last, p.first, 1)
		for _, f := range seam.faults {
			if f.Record == 0 { // the line before this chunk, perhaps in the file before
				s.fault(s.at, f.Seq, f.What)
			} else {
				s.fault(place{p.segment, s.lines + 1}, f.Seq, f.What)
			}
		}
	}
	for _, f := range p.faults {
		s.fault(place{p.segment, s.lines + f.Record}, f.Seq, f.What)
	}
	for seq, f := range p.found {
		f.line += s.lines
		s.found[seq] = f
	}
	s.retired = append(s.retired, p.retired...)
	if s.records == 0 {
		s.start = p.first
	}
	if p.good > 0 {
		s.end, s.at = p.end, place{p.segment, s.lines + p.endLine}
	}
	s.records += int64(p.lines)
	s.lines += p.lines
	s.last = p.last
	s.ended = s.last.ok && s.isEnd(p.segment, s.last.seq)
}

// checkStart holds a segment's first record against its name and its kind.
func (s *scan) checkStart(p *span) {
	at, seq := place{p.segment, 1}, p.first.seq
	if want := s.segments[p.segment].First; seq != want {
		s.fault(at, seq, fmt.Sprintf("the file's name says that it begins with record %d", want))
	}
	if p.first.kind != deputy.Checkpoint || p.format < 1 {
		s.fault(at, seq, "a segment begins with a checkpoint that names its format, and this is none")
	}
	if seq == 1 && !p.first.root {
		s.fault(at, seq, "the very first record names one before it")
	}
}

// leave ends a segment; next is the first chunk of the one after it, or nil.
func (s *scan) leave(next *span) {
	if s.segment < 0 {
		return
	}
	at, file := place{s.segment, s.lines + 1}, s.segments[s.segment].File
	if s.rest > 0 && next != nil {
		s.fault(at, s.last.seq+1, "it is cut short: no newline ends it")
	}
	if s.extra > 0 {
		// Only a checkpoint made after a failed write excuses what stands here.
		if next != nil && next.undoes() {
			s.undone += s.extra
		} else {
			s.fault(at, s.last.seq+1, fmt.Sprintf("%d bytes stand behind the last record of %s, and the next segment does not say that a write had failed",
				s.extra, filepath.Base(file)))
		}
	}
}

// undoes says whether a segment's checkpoint tells of a failed write before it.
func (p *span) undoes() bool {
	line, _, _ := bytes.Cut(p.data, []byte{'\n'})
	var e deputy.Event
	return json.Unmarshal(line, &e) == nil && e.From != 0 && e.From == p.first.seq
}

func (s *scan) fault(at place, seq uint64, what string) {
	if len(s.faults) >= maxFaults {
		s.more++
		return
	}
	s.faults = append(s.faults, Fault{File: s.segments[at.segment].File, Record: at.line, Seq: seq, What: what})
}

// checkEnds looks at both ends of what was read: what retention took from the
// front must be in a record, and every exported head must be met.
func (s *scan) checkEnds() {
	if first := s.start; first.ok && first.seq > 1 {
		excused := false
		for _, e := range s.retired {
			excused = excused || e.To == first.seq-1 && e.Head == hex.EncodeToString(first.prev[:])
		}
		if !excused {
			s.fault(place{0, 1}, first.seq, "no record says that what was before it was retired, with the hash that this one names")
		}
	}
	for _, h := range s.heads {
		for _, e := range s.retired {
			if e.To == h.Seq && e.Head != h.Hash {
				s.fault(s.at, h.Seq, fmt.Sprintf("record %d says that it retired record %d with another hash than was exported", e.Seq, h.Seq))
			}
		}
		f, ok := s.found[h.Seq]
		switch {
		case ok && hex.EncodeToString(f.sum[:]) != h.Hash:
			s.fault(f.place, h.Seq, "it is not the record whose hash was exported: it, or something before it, was rewritten")
		case !ok && h.Seq > s.end.seq:
			s.fault(s.at, s.end.seq, fmt.Sprintf("the journal ends here, but the head of record %d was exported: the records behind it were cut off", h.Seq))
		}
	}
}
