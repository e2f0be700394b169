//go:build !linux

package output

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const (
	pollPeriod = 100 * time.Millisecond // between two looks at all files that are watched
	pollShare  = 20                     // a look takes at most a 20th of the time
)

// notifier tells once that a file was written to: a watch ends with its first
// event. There is no inotify(7) here, and what else there is costs a descriptor
// for each file, so it looks at them, at least every 100 ms while they are few.
//
// One goroutine reads; arm, disarm and close are called under one lock of the
// owner's.
type notifier struct {
	changed chan struct{} // something for read to look at

	mu       sync.Mutex // guards what follows
	last     int32
	byPath   map[string]int32
	watched  map[int32]sighting
	deadline time.Time
	closed   bool
}

// sighting is a file as it was when it was armed.
type sighting struct {
	path    string
	size    int64
	written time.Time
}

func newNotifier() (*notifier, error) {
	return &notifier{changed: make(chan struct{}, 1), byPath: map[string]int32{}, watched: map[int32]sighting{}}, nil
}

// arm watches the file at path until its next change. A watch that still
// stands for the same file is the same watch.
func (n *notifier) arm(path string) (watch int32, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return 0, fmt.Errorf("cannot watch a file: %w", os.ErrClosed)
	}
	if watch, known := n.byPath[path]; known {
		return watch, nil
	}
	info, err := os.Lstat(path)
	if err != nil {
		return 0, fmt.Errorf("cannot watch a file: %w", err)
	}
	n.last++
	n.byPath[path], n.watched[n.last] = n.last, sighting{path, info.Size(), info.ModTime()}
	return n.last, nil
}

// disarm ends a watch. One that has fired is gone already.
func (n *notifier) disarm(watch int32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forget(watch)
}

func (n *notifier) forget(watch int32) {
	delete(n.byPath, n.watched[watch].path)
	delete(n.watched, watch)
}

// read waits until watches have fired, or for the deadline of setDeadline,
// when it returns none. io.EOF follows close.
func (n *notifier) read() (fired []int32, all bool, err error) {
	for period := pollPeriod; ; {
		n.mu.Lock()
		wait, closed := n.wait(period), n.closed
		n.mu.Unlock()
		if closed {
			return nil, false, io.EOF
		}
		if wait <= 0 {
			return nil, false, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			began := time.Now()
			if fired = n.look(); fired != nil {
				return fired, false, nil
			}
			period = max(pollPeriod, pollShare*time.Since(began))
		case <-n.changed:
			timer.Stop()
		}
	}
}

// wait is how long to do nothing, at most; n.mu is held.
func (n *notifier) wait(period time.Duration) time.Duration {
	if n.deadline.IsZero() {
		return period
	}
	return min(period, time.Until(n.deadline))
}

// look finds the files that have changed. One that is gone has changed, too.
func (n *notifier) look() (fired []int32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for watch, was := range n.watched {
		info, err := os.Lstat(was.path)
		if err != nil || info.Size() != was.size || !info.ModTime().Equal(was.written) {
			n.forget(watch)
			fired = append(fired, watch)
		}
	}
	return fired
}

// setDeadline ends a read, also one under way, at t; zero: never.
func (n *notifier) setDeadline(t time.Time) {
	n.mu.Lock()
	n.deadline = t
	n.mu.Unlock()
	n.wake()
}

// close ends a read under way.
func (n *notifier) close() error {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.wake()
	return nil
}

func (n *notifier) wake() {
	select {
	case n.changed <- struct{}{}:
	default: // it is called already
	}
}
