package server

import (
	"sync"
	"time"
)

// A task can tell its progress before the record of its start has come here. Such
// a report waits, with what was seen of its sender, for a moment.
const (
	maxEarly   = 64 // reports that wait; more are dropped, as datagrams may be
	earlyFor   = 5 * time.Second
	earlyEvery = 20 * time.Millisecond
)

// early are the reports that wait, oldest first.
type early struct {
	mu      sync.Mutex
	list    []waiting
	ticking bool // they are looked at again in a moment
}

type waiting struct {
	claims []claim
	report report
	until  time.Time
}

// keep lets a report wait.
func (l *progressListener) keep(claims []claim, r report) {
	l.early.mu.Lock()
	defer l.early.mu.Unlock()
	if len(l.early.list) >= maxEarly {
		return
	}
	l.early.list = append(l.early.list, waiting{claims, r, time.Now().Add(earlyFor)})
	if !l.early.ticking {
		l.early.ticking = true
		time.AfterFunc(earlyEvery, l.retryLater)
	}
}

// retry passes on what can be told apart now.
func (l *progressListener) retry() {
	l.early.mu.Lock()
	defer l.early.mu.Unlock()
	kept := l.early.list[:0]
	for _, w := range l.early.list {
		switch task, early := l.find.proven(w.claims); {
		case task != "":
			l.pass(task, w.report)
		case early && time.Now().Before(w.until):
			kept = append(kept, w)
		}
	}
	l.early.list = kept
}

func (l *progressListener) retryLater() {
	l.retry()
	l.early.mu.Lock()
	defer l.early.mu.Unlock()
	if l.early.ticking = len(l.early.list) > 0; l.early.ticking {
		time.AfterFunc(earlyEvery, l.retryLater)
	}
}
