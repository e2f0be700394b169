package output

import (
	"errors"
	"hash/maphash"
	"io"
	"sync"
	"syscall"
	"time"
)

const (
	firstLook   = 25 * time.Millisecond // most tasks have ended by then and were never watched
	pause       = 5 * time.Millisecond  // between rounds, so that what happens meanwhile is one round's
	minInterval = 10 * time.Millisecond
	maxInterval = 250 * time.Millisecond
	atOnce      = 2 // large outputs that are read, and perhaps copied, at the same time
)

// Capper holds the output of live tasks under their caps. A file that does not
// grow costs one inotify watch and nothing else; one that grows is looked at
// every 10 to 250 ms, the sooner the faster it grows. It holds no descriptor
// for a task, and all looking is done by one goroutine.
type Capper struct {
	warn   func(error)
	notify *notifier
	seed   maphash.Seed
	ended  chan struct{} // closed when the goroutine has ended
	slow   chan struct{} // holds one for each output that is being kept beside the workers

	aside   aside
	folders folders

	mu     sync.Mutex
	tasks  map[string]files       // by directory
	armed  map[int32]*capped      // by watch: those that are quiet
	due    map[*capped]time.Time  // when to look at those that are not
	wake   time.Time              // when the goroutine wakes by itself; zero: never
	warned map[syscall.Errno]bool // what warn was told of
}

// NewCapper starts a Capper; Close ends it. warn is told of what keeps it from
// holding a cap, once for each kind of error, in the goroutine of the Capper or
// of the one who calls Finish.
func NewCapper(warn func(error)) (*Capper, error) {
	notify, err := newNotifier()
	if err != nil {
		return nil, err
	}
	c := &Capper{
		warn: warn, notify: notify, aside: newAside(), folders: newFolders(), seed: maphash.MakeSeed(), ended: make(chan struct{}),
		slow: make(chan struct{}, atOnce), tasks: map[string]files{}, armed: map[int32]*capped{}, due: map[*capped]time.Time{}, warned: map[syscall.Errno]bool{},
	}
	go c.run()
	return c, nil
}

// Close ends the goroutine; the tasks' files stay as they are.
func (c *Capper) Close() error {
	c.mu.Lock()
	err := c.notify.close()
	c.mu.Unlock()
	<-c.ended
	return err
}

// run looks at the files that are due until Close.
func (c *Capper) run() {
	defer close(c.ended)
	for {
		fired, all, err := c.notify.read()
		if errors.Is(err, io.EOF) {
			return
		}
		c.warnOnce(err)
		for _, file := range c.takeDue(fired, all) {
			c.aside.do(patience, func() { c.look(file) })
		}
		time.Sleep(pause)
		c.mu.Lock()
		c.setWake()
		c.mu.Unlock()
	}
}

// takeDue wakes the files whose watch fired, and takes those whose time has come.
func (c *Capper) takeDue(fired []int32, all bool) []*capped {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	soon := now.Add(minInterval)
	if all {
		for watch := range c.armed {
			c.notify.disarm(watch)
			fired = append(fired, watch)
		}
	}
	for _, watch := range fired {
		if file := c.armed[watch]; file != nil { // otherwise finished, or the end of a watch that fired
			delete(c.armed, watch)
			file.watch = 0
			c.due[file] = soon
		}
	}
	var files []*capped
	for file, at := range c.due {
		if !at.After(now) {
			delete(c.due, file)
			files = append(files, file)
		}
	}
	return files
}

// look looks at one file, and again later if it grows, or when it is written to.
func (c *Capper) look(file *capped) {
	file.mu.Lock()
	defer file.mu.Unlock()
	grown, took, err := file.look(file.step())
	c.warnOnce(err)
	if grown == 0 {
		var quiet bool
		quiet, err = c.arm(file)
		c.warnOnce(err)
		if quiet {
			return
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !file.finished {
		c.schedule(file, time.Now().Add(interval(grown, took)))
	}
}

// interval is the time in which a file that grew so fast grows by maxStep.
func interval(grown int64, took time.Duration) time.Duration {
	if grown <= 0 {
		return maxInterval
	}
	return min(max(time.Duration(float64(took)*maxStep/float64(grown)), minInterval), maxInterval)
}

// arm has the next write to file wake the goroutine. It is false if the file
// must be looked at again: it was written to before the watch stood, or there
// is no watch to be had, and then a look every maxInterval must do.
func (c *Capper) arm(file *capped) (quiet bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if file.finished {
		return true, nil
	}
	watch, err := c.notify.arm(file.path)
	if err != nil {
		return false, err
	}
	file.watch = watch
	c.armed[watch] = file
	st, err := measure(file.path)
	return err == nil && st.size-file.base == file.size && !file.isOver(st, file.size), nil
}

// schedule sets when to look at file. The caller holds c.mu.
func (c *Capper) schedule(file *capped, at time.Time) {
	c.due[file] = at
	if c.wake.IsZero() || at.Before(c.wake) {
		c.wake = at
		c.notify.setDeadline(at)
	}
}

// setWake wakes the goroutine for the next file. The caller holds c.mu.
func (c *Capper) setWake() {
	c.wake = time.Time{}
	for _, at := range c.due {
		if c.wake.IsZero() || at.Before(c.wake) {
			c.wake = at
		}
	}
	if !c.wake.IsZero() {
		// A read whose deadline has passed reads nothing: leave time for one.
		c.wake = later(c.wake, time.Now().Add(time.Millisecond))
	}
	c.notify.setDeadline(c.wake)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// warnOnce tells of err, unless it is nil or of a kind that was told of.
func (c *Capper) warnOnce(err error) {
	if err == nil {
		return
	}
	var errno syscall.Errno
	errors.As(err, &errno)
	c.mu.Lock()
	known := c.warned[errno]
	c.warned[errno] = true
	c.mu.Unlock()
	if !known {
		c.warn(err)
	}
}
