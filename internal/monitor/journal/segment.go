package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

const chunkSize = 1 << 20 // bytes read at once; a longer line makes a longer chunk

// Segment is one file of the journal.
type Segment struct {
	File        string // path
	First, Last uint64 // records
	Bytes       int64
	Time        time.Time // when the last record was made or, of an old segment after a start, the one behind it

	head   digest // hash of record Last
	closed bool   // head is known and will not change
}

func segmentFile(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d.jsonl", first))
}

// listSegments gives the segments of dir, oldest first. Of each it reads only
// the start of the first record, which holds the last hash of the one before.
// Last, Time and head of the newest stay unset.
func listSegments(dir string) ([]Segment, error) {
	entries, err := os.ReadDir(dir) // sorted; the names have one width
	if err != nil {
		return nil, err
	}
	var list []Segment
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".jsonl")
		first, err := strconv.ParseUint(name, 10, 64)
		if !ok || err != nil || first == 0 || len(name) != 20 || !entry.Type().IsRegular() {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		size, start, err := peek(path)
		if err != nil {
			return nil, err
		}
		if n := len(list); n > 0 {
			before := &list[n-1]
			before.Last, before.Time = first-1, start.head().Time.Time
			before.head, before.closed = start.prev, start.ok && !start.root && start.seq == first
		}
		list = append(list, Segment{File: path, First: first, Bytes: size})
	}
	return list, nil
}

// peek reads a file's size and the fixed members of its first record.
func peek(path string) (size int64, start record, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, record{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, record{}, err
	}
	buf := make([]byte, 256)
	n, err := f.ReadAt(buf, 0)
	if err != nil && err != io.EOF {
		return 0, record{}, err
	}
	return info.Size(), readHead(buf[:n]), nil
}

// chunk is a run of whole lines of one segment, each with its newline; only at
// the end of a file the last line may want it.
type chunk struct {
	segment int    // index in the list being read
	begins  bool   // it is the first of its file
	data    []byte // its own memory
}

// chunks reads the segments one after the other, each up to the size it has when
// it is opened (never mind what is being appended meanwhile), size bytes at once.
func chunks(list []Segment, size int) iter.Seq2[chunk, error] {
	return func(yield func(chunk, error) bool) {
		for i := range list {
			begins := true
			for data, err := range fileChunks(list[i].File, size) {
				if !yield(chunk{segment: i, begins: begins, data: data}, err) {
					return
				}
				begins = false
			}
		}
	}
}

func fileChunks(path string, size int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			yield(nil, err)
			return
		}
		var buf []byte // what was read and not yet handed on: the start of a line
		for left := info.Size(); left > 0; {
			n, old := int(min(left, int64(size))), len(buf)
			buf = slices.Grow(buf, n)[:old+n]
			n, err = io.ReadFull(f, buf[old:])
			left -= int64(n)
			if buf = buf[:old+n]; err != nil {
				if !errors.Is(err, io.ErrUnexpectedEOF) && err != io.EOF {
					yield(nil, err)
					return
				}
				left = 0 // it was cut meanwhile: a failed write was undone
			}
			end := bytes.LastIndexByte(buf[old:], '\n') + 1
			if end == 0 {
				continue // a line longer than a chunk
			}
			data, rest := buf[:old+end:old+end], buf[old+end:]
			buf = append(make([]byte, 0, len(rest)+int(min(left, int64(size)))), rest...)
			if !yield(data, nil) {
				return
			}
		}
		if len(buf) > 0 {
			yield(buf, nil)
		}
	}
}

// inOrder gives each chunk to work, on all processors at once, and the results
// to deliver, one at a time and in order. A few chunks are in memory at a time.
func inOrder[T any](source iter.Seq2[chunk, error], work func(chunk) T, deliver func(T) error) error {
	queue := make(chan chan T, runtime.GOMAXPROCS(0))
	stop := make(chan struct{})
	defer close(stop)
	var readErr error // set before queue is closed
	go func() {
		defer close(queue)
		for c, err := range source {
			if err != nil {
				readErr = err
				return
			}
			result := make(chan T, 1)
			select {
			case queue <- result:
				go func() { result <- work(c) }()
			case <-stop:
				return
			}
		}
	}()
	for result := range queue {
		if err := deliver(<-result); err != nil {
			return err
		}
	}
	return readErr
}
