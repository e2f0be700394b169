// Package discard closes descriptors whose last reference another user may have left to
// us: a socket that lingers (SO_LINGER of socket(7)), or a socket with such ones in its queue
// (SCM_RIGHTS of unix(7)). Whoever closes those waits, for as long as that user wants.
package discard

import (
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	patience = 20 * time.Millisecond // for one descriptor; then its close is interrupted
	giveUp   = time.Second           // then another thread goes on with the next
	most     = 64                    // threads
	depth    = 4096                  // descriptors that wait; what is more stays open
)

// Closer closes descriptors on threads of its own. Most need microseconds. A signal ends the
// wait for a socket that lingers; whatever waits without hearing signals costs one of most
// threads for as long as it does.
type Closer struct {
	queue chan int
	work  chan struct{} // of one place, full while a close is to be watched
	over  chan struct{}

	mu      sync.Mutex
	threads map[*thread]struct{}
}

// thread closes one descriptor after the other.
type thread struct {
	id    int
	since time.Time // the close under way began; zero: none is
	lost  bool      // another has taken its place
}

// New makes a Closer with one thread; End ends it.
func New() *Closer {
	c := &Closer{queue: make(chan int, depth), work: make(chan struct{}, 1), over: make(chan struct{}), threads: map[*thread]struct{}{}}
	c.grow()
	go c.watch()
	return c
}

// Close closes a descriptor soon. It never waits.
func (c *Closer) Close(fd int) {
	select {
	case c.queue <- fd:
	default: // better open than waited for
	}
	select {
	case c.work <- struct{}{}:
	default: // it is watched
	}
}

// End ends the threads, those that can.
func (c *Closer) End() { close(c.over) }

func (c *Closer) grow() {
	t := &thread{}
	c.mu.Lock()
	c.threads[t] = struct{}{}
	c.mu.Unlock()
	go c.run(t)
}

func (c *Closer) run(t *thread) {
	runtime.LockOSThread() // to be never unlocked: the thread ends with the goroutine
	c.mu.Lock()
	t.id = unix.Gettid()
	c.mu.Unlock()
	for c.begins(t, time.Time{}) {
		select {
		case fd := <-c.queue:
			c.begins(t, time.Now())
			_ = unix.Close(fd) // EINTR: it is closed (close(2))
		case <-c.over:
			return
		}
	}
}

// begins notes what a thread does. It says whether the thread is still wanted.
func (c *Closer) begins(t *thread, since time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t.since = since
	if since.IsZero() && t.lost {
		delete(c.threads, t)
		return false
	}
	return true
}

// watch interrupts closes that take long.
func (c *Closer) watch() {
	for {
		select {
		case <-c.work:
		case <-c.over:
			return
		}
		for busy := true; busy; {
			time.Sleep(patience)
			var replace int
			replace, busy = c.interrupt(time.Now())
			for range replace {
				c.grow()
			}
		}
	}
}

// interrupt says how many threads are to be replaced, and whether any is at work. SIGURG is what the Go runtime sends to
// its own threads, and means nothing.
func (c *Closer) interrupt(now time.Time) (replace int, busy bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	busy = len(c.queue) > 0
	for t := range c.threads {
		busy = busy || !t.since.IsZero()
		if t.since.IsZero() || now.Sub(t.since) < patience {
			continue
		}
		_ = unix.Tgkill(os.Getpid(), t.id, unix.SIGURG)
		if !t.lost && now.Sub(t.since) > giveUp && len(c.threads)+replace < most {
			t.lost = true
			replace++
		}
	}
	return replace, busy
}
