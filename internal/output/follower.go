package output

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	followPause = 10 * time.Millisecond  // at most so often is a follower woken by one writer
	followPoll  = 250 * time.Millisecond // how often to look where no watch is to be had
)

// ErrRewritten says that the task cut its file to less than was read of it.
var ErrRewritten = errors.New("cannot read output on: the task cut the file; read it from the start")

// Watcher wakes those who follow files: one inotify instance and one goroutine
// for a process.
type Watcher struct {
	notify *notifier
	ended  chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	waiting map[int32]map[chan struct{}]bool // by watch: channels to close when it fires
}

// NewWatcher starts a Watcher; Close ends it.
func NewWatcher() (*Watcher, error) {
	notify, err := newNotifier()
	if err != nil {
		return nil, err
	}
	w := &Watcher{notify: notify, ended: make(chan struct{}), waiting: map[int32]map[chan struct{}]bool{}}
	go w.run()
	return w, nil
}

// Close ends the goroutine and wakes all who wait.
func (w *Watcher) Close() error {
	w.mu.Lock()
	err := w.notify.close()
	w.mu.Unlock()
	<-w.ended
	return err
}

func (w *Watcher) run() {
	defer close(w.ended)
	for {
		fired, all, err := w.notify.read()
		w.mu.Lock()
		for watch := range w.waiting {
			if all || err != nil {
				w.notify.disarm(watch)
				w.fire(watch)
			}
		}
		for _, watch := range fired {
			w.fire(watch)
		}
		w.mu.Unlock()
		if errors.Is(err, io.EOF) {
			return
		}
	}
}

// fire wakes all who wait for a watch. The caller holds w.mu.
func (w *Watcher) fire(watch int32) {
	for changed := range w.waiting[watch] {
		close(changed)
	}
	delete(w.waiting, watch)
}

// changed gives a channel that is closed at the next write to the file at
// path; forget is called when nobody waits for it any more.
func (w *Watcher) changed(path string) (changed <-chan struct{}, forget func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	watch, err := w.notify.arm(path)
	if err != nil {
		return nil, nil, err
	}
	channel := make(chan struct{})
	if w.waiting[watch] == nil {
		w.waiting[watch] = map[chan struct{}]bool{}
	}
	w.waiting[watch][channel] = true
	return channel, func() { w.forget(watch, channel) }, nil
}

func (w *Watcher) forget(watch int32, channel chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.waiting[watch][channel] {
		return // it has fired
	}
	delete(w.waiting[watch], channel)
	if len(w.waiting[watch]) == 0 {
		delete(w.waiting, watch)
		w.notify.disarm(watch)
	}
}

// Follower reads a file as it grows, until its task has ended. It is for one
// goroutine.
type Follower struct {
	watcher *Watcher
	reader  *Reader
	offset  int64
	seen    int64 // the end of what was read: a smaller size is a cut
	ended   <-chan struct{}
	woken   time.Time
}

// Follow reads r from offset on. Closing ended says that the file is final:
// the task has ended and its cap was applied a last time.
func (w *Watcher) Follow(r *Reader, offset int64, ended <-chan struct{}) *Follower {
	return &Follower{watcher: w, reader: r, offset: offset, ended: ended}
}

// Offset is where the next bytes are read.
func (f *Follower) Offset() int64 { return f.offset }

// Next waits for bytes and reads up to len(p) of them. It returns n > 0; or
// a gap that was jumped over; or an error: io.EOF at the end of a final file,
// ctx's, ErrRemoved, and once ErrRewritten, after which it reads from the start.
func (f *Follower) Next(ctx context.Context, p []byte) (n int, gap *[2]int64, err error) {
	for {
		final := closed(f.ended) // asked before reading, so that nothing is missed
		n, err := f.reader.ReadAt(p, f.offset)
		var gone *GapError
		switch {
		case n > 0:
			f.offset += int64(n)
			f.seen = f.offset
			return n, nil, nil
		case errors.As(err, &gone):
			gap = &[2]int64{f.offset, gone.To}
			f.offset, f.seen = gone.To, gone.To
			return 0, gap, nil
		case !errors.Is(err, io.EOF):
			return 0, nil, err
		}
		size, err := f.size()
		if err != nil {
			return 0, nil, err
		}
		if size < f.seen {
			f.offset, f.seen = 0, 0
			return 0, nil, ErrRewritten
		}
		if size <= f.offset && final {
			return 0, nil, io.EOF
		}
		if err := f.wait(ctx); err != nil {
			return 0, nil, err
		}
	}
}

func (f *Follower) size() (int64, error) {
	stat, err := f.reader.file.Stat()
	if err != nil {
		return 0, fmt.Errorf("cannot see output: %w", err)
	}
	return stat.Size(), nil
}

// wait returns when the file may have changed or is final.
func (f *Follower) wait(ctx context.Context) error {
	// A task that writes line by line is read in portions.
	if err := sleep(ctx, f.ended, time.Until(f.woken.Add(followPause))); err != nil {
		return err
	}
	defer func() { f.woken = time.Now() }()
	changed, forget, err := f.watcher.changed(f.reader.path)
	if err != nil { // too many watches, or removed: the next read tells
		return sleep(ctx, f.ended, followPoll)
	}
	defer forget()
	if size, err := f.size(); err != nil || size > f.offset || size < f.seen {
		return err // written to before the watch stood
	}
	select {
	case <-changed:
	case <-f.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// sleep waits for d, at most until ended is closed.
func sleep(ctx context.Context, ended <-chan struct{}, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func closed(channel <-chan struct{}) bool {
	select {
	case <-channel:
		return true
	default:
		return false
	}
}
