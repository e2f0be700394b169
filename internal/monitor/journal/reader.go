package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"
)

const readSize = 256 << 10 // bytes of old records that a reader takes at once

// tail is the newest durable records, so that a reader that keeps up costs no
// disk read.
type tail struct {
	pieces []piece // oldest first
	bytes  int
}

// piece is one committed batch; its data is never changed.
type piece struct {
	segment uint64 // first record of its segment
	offset  int64  // of data in that segment's file
	first   uint64 // number of its first record
	data    []byte
}

func (t *tail) add(p piece) {
	t.pieces = append(t.pieces, p)
	t.bytes += len(p.data)
	for t.bytes > tailSize && len(t.pieces) > 1 {
		t.bytes -= len(t.pieces[0].data)
		t.pieces[0] = piece{} // let go of the data before append moves the rest
		t.pieces = t.pieces[1:]
	}
}

// find gives the durable lines from record seq on, as far as one batch goes.
func (t *tail) find(seq uint64) (piece, bool) {
	i := sort.Search(len(t.pieces), func(i int) bool { return t.pieces[i].first > seq }) - 1
	if i < 0 {
		return piece{}, false
	}
	p := t.pieces[i]
	for ; p.first < seq; p.first++ {
		n := bytes.IndexByte(p.data, '\n') + 1
		p.data, p.offset = p.data[n:], p.offset+int64(n)
	}
	return p, true
}

// Reader gives the durable records as they were written, in order. It is for one
// goroutine; others may append and retire meanwhile.
type Reader struct {
	journal *Journal
	next    uint64   // number of the next record
	lines   []byte   // it and those after it, as far as they were read
	segment uint64   // first record of its segment; 0: not known yet
	offset  int64    // of it in that segment's file
	file    *os.File // of that segment; nil: not open
}

// ReadFrom begins at record seq, or at the first that retention has left.
func (j *Journal) ReadFrom(seq uint64) (*Reader, error) {
	if durable := j.Durable(); seq > durable+1 {
		return nil, fmt.Errorf("cannot read journal from record %d: it ends at record %d", seq, durable)
	}
	return &Reader{journal: j, next: max(seq, 1)}, nil
}

// Next returns at most limit lines without their newlines, and the number of the
// record that follows them. No lines: the reader has caught up, and more come
// after Notify. The lines must not be changed.
func (r *Reader) Next(limit int) (lines [][]byte, next uint64, err error) {
	if len(r.lines) == 0 {
		if err := r.fill(); err != nil {
			return nil, r.next, fmt.Errorf("cannot read journal: %w", err)
		}
	}
	for len(lines) < limit && len(r.lines) > 0 {
		line, rest, _ := bytes.Cut(r.lines, []byte{'\n'})
		lines = append(lines, line)
		r.lines = rest
		r.next++
		r.offset += int64(len(line)) + 1
	}
	return lines, r.next, nil
}

// Close lets go of the file that is being read.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	f := r.file
	r.file = nil
	return f.Close()
}

// fill gets the lines from record next on: from memory, otherwise from disk.
func (r *Reader) fill() error {
	for {
		s, p, found := r.where()
		if found {
			r.lines, r.offset = p.data, p.offset
			return r.enter(p.segment)
		}
		if s == nil {
			return nil
		}
		err := r.read(s)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// Retired between the look and the opening: look again.
		if first := r.journal.Segments()[0].First; first <= s.First {
			return err
		}
	}
}

// where finds record next in memory or in a segment, or neither if it is not
// durable yet.
func (r *Reader) where() (*Segment, piece, bool) {
	j := r.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	if r.next > j.durable {
		return nil, piece{}, false
	}
	r.next = max(r.next, j.segments[0].First)
	if p, ok := j.tail.find(r.next); ok {
		return nil, p, true
	}
	i := sort.Search(len(j.segments), func(i int) bool { return j.segments[i].First > r.next }) - 1
	s := j.segments[i]
	return &s, piece{}, false
}

// enter notes which segment the reader is in.
func (r *Reader) enter(segment uint64) error {
	if r.segment == segment {
		return nil
	}
	r.segment = segment
	return r.Close()
}

// read takes the next lines of a segment from its file, none beyond what is
// durable and part of the chain.
func (r *Reader) read(s *Segment) error {
	known := r.segment == s.First
	if err := r.enter(s.First); err != nil {
		return err
	}
	if r.file == nil {
		f, err := os.Open(s.File)
		if err != nil {
			r.segment = 0
			return err
		}
		r.file = f
	}
	if !known {
		r.offset = 0
		for at := s.First; at < r.next; { // the way to next, once for each segment at most
			lines, err := r.linesAt(s, at, r.next-at)
			if err != nil {
				r.segment = 0
				return err
			}
			at += uint64(bytes.Count(lines, []byte{'\n'}))
			r.offset += int64(len(lines))
		}
	}
	lines, err := r.linesAt(s, r.next, s.Last-r.next+1)
	r.lines = lines
	return err
}

// linesAt reads whole lines at r.offset, where record seq must begin: some, but
// not more than most of them.
func (r *Reader) linesAt(s *Segment, seq, most uint64) ([]byte, error) {
	var buf []byte
	for end := 0; end == 0; {
		room := min(readSize, s.Bytes-r.offset-int64(len(buf)))
		if room <= 0 {
			return nil, fmt.Errorf("%s ends before record %d", s.File, seq)
		}
		old := len(buf)
		buf = append(buf, make([]byte, room)...)
		if _, err := io.ReadFull(io.NewSectionReader(r.file, r.offset+int64(old), room), buf[old:]); err != nil {
			return nil, fmt.Errorf("%s: record %d: %w", s.File, seq, err)
		}
		if end = bytes.LastIndexByte(buf, '\n') + 1; end > 0 {
			buf = buf[:end]
		}
	}
	if head := readHead(buf[:bytes.IndexByte(buf, '\n')]); !head.ok || head.seq != seq {
		return nil, fmt.Errorf("%s: record %d is not where it should be; see: deputy audit verify", s.File, seq)
	}
	for surplus := bytes.Count(buf, []byte{'\n'}); uint64(surplus) > most; surplus-- {
		buf = buf[:bytes.LastIndexByte(buf[:len(buf)-1], '\n')+1]
	}
	return buf, nil
}
