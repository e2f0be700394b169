package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// Report is what Verify found.
type Report struct {
	Segments int     `json:"segments"`
	Records  int64   `json:"records"`
	First    uint64  `json:"first"`
	Head     Head    `json:"head"`    // the last whole record
	Faults   []Fault `json:"faults"`  // at most 1,000, in the order of the journal, then those of the heads
	More     int     `json:"more"`    // faults beyond those
	Torn     int64   `json:"torn"`    // bytes at the very end: a record being written, or one that a crash cut
	Undone   int64   `json:"undone"`  // bytes that failed writes left behind; no part of the journal
	Retired  []Head  `json:"retired"` // exported heads of records that retention has deleted: not checked
}

// OK says that the journal is as it was written, as far as can be known.
func (r *Report) OK() bool { return len(r.Faults) == 0 }

// Verify follows the whole chain and finds every edit, cut or reorder of what
// came before an exported head; without one, all but a consistent rewrite or a
// cut of the tail. It needs no lock and may run while deputyd appends. progress,
// if not nil, is told how many of all bytes were read. An error means that it
// could not read, not that it found a fault.
func Verify(dir string, heads []Head, progress func(done, total int64)) (*Report, error) {
	for attempt := 1; ; attempt++ {
		report, err := verify(dir, heads, progress, chunkSize)
		if errors.Is(err, fs.ErrNotExist) && attempt < 5 {
			continue // a segment was retired between the listing and the reading
		}
		if err != nil {
			return nil, fmt.Errorf("cannot verify journal: %w", err)
		}
		return report, nil
	}
}

func verify(dir string, heads []Head, progress func(done, total int64), chunk int) (*Report, error) {
	list, err := listSegments(dir)
	if err != nil {
		return nil, err
	}
	s := newScan(list)
	s.heads, s.chunk = heads, chunk
	if progress != nil {
		var done, total int64
		for _, segment := range list {
			total += segment.Bytes
		}
		s.progress = func(n int64) {
			done += n
			progress(done, max(done, total)) // it may be growing
		}
	}
	if len(list) == 0 {
		if len(heads) > 0 {
			return &Report{Faults: []Fault{{File: dir, What: "no segment is left, and a head was exported"}}}, nil
		}
		return new(Report), nil
	}
	if err := s.run(); err != nil {
		return nil, err
	}
	s.checkEnds()
	r := &Report{Segments: len(list), Records: s.records, First: s.start.seq, Faults: s.faults, More: s.more,
		Torn: s.rest, Undone: s.undone}
	if s.end.ok {
		r.Head = s.end.head()
	}
	for _, h := range heads {
		if h.Seq < s.start.seq {
			r.Retired = append(r.Retired, h)
		}
	}
	return r, nil
}

// Export gives the head of the journal in dir, to be kept where root of this
// machine cannot change it. What it names is durable; deputyd may be running.
func Export(dir string) (Head, error) {
	h, err := export(dir)
	if err != nil {
		return Head{}, fmt.Errorf("cannot export head of journal: %w", err)
	}
	return h, nil
}

func export(dir string) (Head, error) {
	list, err := listSegments(dir)
	if err != nil {
		return Head{}, err
	}
	for i := range slices.Backward(list) {
		s := newScan(list[i : i+1])
		if err := s.run(); err != nil {
			return Head{}, err
		}
		if _, err := s.torn(); err != nil {
			return Head{}, err
		}
		if s.whole == 0 {
			continue // just begun
		}
		// A head that a crash could still undo would accuse an honest journal.
		f, err := os.Open(list[i].File)
		if err != nil {
			return Head{}, err
		}
		defer f.Close()
		if err := fdatasync(f); err != nil {
			return Head{}, err
		}
		return s.end.head(), nil
	}
	return Head{}, errors.New("it is empty")
}

// VerifyLast is Verify of the newest segment alone: what a start would replay.
func VerifyLast(dir string) (*Report, error) {
	list, err := listSegments(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot verify journal: %w", err)
	}
	if len(list) == 0 {
		return new(Report), nil
	}
	s := newScan(list[len(list)-1:])
	if err := s.run(); err != nil {
		return nil, fmt.Errorf("cannot verify journal: %w", err)
	}
	r := &Report{Segments: 1, Records: s.records, First: s.start.seq, Faults: s.faults, More: s.more, Torn: s.rest, Undone: s.undone}
	if s.end.ok {
		r.Head = s.end.head()
	}
	return r, nil
}
