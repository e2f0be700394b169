package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"deputy/internal/monitor/durable"
)

// The reserve is room for what must be recorded when the disk is full. It is an
// empty file beside the segments that has blocks beyond its end (fallocate(2),
// FALLOC_FL_KEEP_SIZE). It is never freed to be used: by a change of its name
// alone it becomes the next segment, and is appended to like any other. So
// nobody who writes to the same disk can take the room in between.
const reserveName = "reserve"

var errReserveUsed = errors.New("the disk is full, and the journal lives on its reserve")

// Reserve asks for a reserve of so many bytes; Notify follows when it is made,
// or could not be. It may be called again to try again, or for another size.
func (j *Journal) Reserve(size int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asked = size
	j.wake.Signal()
}

// Short says why the reserve is smaller than was asked for; nil: it is not. It
// is errors.ErrUnsupported where the file system can keep none.
func (j *Journal) Short() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.short
}

// Bytes is what the journal takes on the disk, with its reserve.
func (j *Journal) Bytes() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	sum := j.reserved
	for i := range j.segments {
		sum += j.segments[i].Bytes
	}
	return sum
}

// makeReserve is called by the writer.
func (j *Journal) makeReserve(size int64) {
	held, err := makeReserve(j.dir, size)
	if err != nil {
		err = fmt.Errorf("cannot keep the journal's reserve of %d KiB: %w", size>>10, err)
	}
	j.mu.Lock()
	j.reserved, j.short, j.making = held, err, false
	j.settled.Broadcast()
	j.mu.Unlock()
	j.options.Notify()
}

// makeReserve gives the reserve of dir blocks for size bytes. Of a disk that
// cannot give as many it keeps what there was. It returns what it has.
func makeReserve(dir string, size int64) (held int64, err error) {
	f, err := os.OpenFile(filepath.Join(dir, reserveName), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if held, err = blocks(f); err != nil {
		return 0, err
	}
	if held > 4*size { // much more than is needed: begin anew
		if err := f.Truncate(0); err != nil {
			return held, err
		}
	}
	if held < size || held > 4*size {
		err = fallocate(f, size)
		held, _ = blocks(f)
		if err = errors.Join(err, f.Sync(), durable.Dir(dir)); err != nil {
			return held, err
		}
	}
	return held, nil
}

func hasReserve(dir string) bool {
	f, err := os.Open(filepath.Join(dir, reserveName))
	if err != nil {
		return false
	}
	defer f.Close()
	held, err := blocks(f)
	return err == nil && held > 0
}

// useReserve makes the reserve the file of a segment, in the place of anything
// that an earlier attempt has left by that name.
func (j *Journal) useReserve(name string) (*os.File, error) {
	if err := os.Rename(filepath.Join(j.dir, reserveName), name); err != nil {
		return nil, err
	}
	j.mu.Lock()
	j.reserved, j.short = 0, errReserveUsed
	j.mu.Unlock()
	return os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
}
