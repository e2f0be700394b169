package output

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

const (
	followPause = 10 * time.Millisecond  // at most so often is a follower woken by one writer
	followPoll  = 250 * time.Millisecond // how often to look where no watch is to be had
)

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
	end     End
	woken   time.Time
}

// End is that of a task.
type End struct {
	Over <-chan struct{} // closed: the file is final, its cap was applied a last time
	Kept func() int64    // how much was kept of it then. Whoever has it open still may have written on
}

// Follow reads r from offset on.
func (w *Watcher) Follow(r *Reader, offset int64, end End) *Follower {
	return &Follower{watcher: w, reader: r, offset: offset, end: end}
}

// Offset is where the next bytes are read.
func (f *Follower) Offset() int64 { return f.offset }

// Next waits for bytes and reads up to len(p) of them. It returns n > 0; or
// a gap that was jumped over; or an error: io.EOF at the end of a final file,
// ctx's, ErrRemoved, and ErrRewritten, after which it reads from the start.
func (f *Follower) Next(ctx context.Context, p []byte) (n int, gap *[2]int64, err error) {
	for {
		final := closed(f.end.Over) // asked before reading, so that nothing is missed
		most := int64(len(p))
		if final {
			most = min(most, f.end.Kept()-f.offset)
		}
		if most <= 0 {
			return 0, nil, f.over()
		}
		n, err := f.reader.ReadAt(p[:most], f.offset)
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
		case errors.Is(err, ErrRewritten):
			return 0, nil, f.restart()
		case !errors.Is(err, io.EOF):
			return 0, nil, err
		}
		size, err := f.reader.size()
		if err != nil {
			return 0, nil, err
		}
		if f.isCut(size) {
			return 0, nil, f.restart()
		}
		if size <= f.offset && final {
			return 0, nil, io.EOF
		}
		if err := f.wait(ctx); err != nil {
			return 0, nil, err
		}
	}
}

// isCut says whether an output of size bytes is less than what was read of it, or
// had been read before this follower began.
func (f *Follower) isCut(size int64) bool {
	if size < f.offset && size >= f.seen {
		info, err := f.reader.Info()
		return err == nil && info.Rewritten
	}
	return size < f.seen
}

// over is what follows when all that is kept was read.
func (f *Follower) over() error {
	if f.isCut(f.end.Kept()) {
		return f.restart()
	}
	return io.EOF
}

// restart has the file read from its start.
func (f *Follower) restart() error {
	f.offset, f.seen = 0, 0
	return ErrRewritten
}

// wait returns when the file may have changed or is final.
func (f *Follower) wait(ctx context.Context) error {
	// A task that writes line by line is read in portions.
	if err := sleep(ctx, f.end.Over, time.Until(f.woken.Add(followPause))); err != nil {
		return err
	}
	defer func() { f.woken = time.Now() }()
	changed, forget, err := f.watcher.changed(f.reader.path)
	if err != nil { // too many watches, or removed: the next read tells
		return sleep(ctx, f.end.Over, followPoll)
	}
	defer forget()
	if size, err := f.reader.size(); err != nil || size > f.offset || size < f.seen {
		return err // written to before the watch stood
	}
	select {
	case <-changed:
	case <-f.end.Over:
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
