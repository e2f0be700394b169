package monitor

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// A birth that failed because the machine, or the task's user, has no process,
// memory, descriptor or room for its output to spare is tried again for a while:
// nothing was born, so it is no second start. Whoever waits longer than that is
// better told.
const (
	retryFirst = 50 * time.Millisecond
	retryLast  = time.Second
	retryFor   = 5 * time.Second
)

// scarce says whether a birth failed for want of what may come back.
func scarce(err error) bool {
	// ETXTBSY: the program is being written anew, as an installer does.
	for _, errno := range []error{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.ETXTBSY, syscall.ENOSPC} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// retryBirth tries once more, later; false: it was tried long enough.
func (m *Monitor) retryBirth(t *Task) bool {
	return m.retry(t, func() { m.startIntended(t) })
}

func (m *Monitor) retry(t *Task, do func()) bool {
	now := m.loop.Now()
	if t.tried == 0 {
		t.tried, t.pause = now, retryFirst
	}
	if now-t.tried >= int64(retryFor) {
		return false
	}
	m.loop.After(t.pause, do)
	t.pause = min(2*t.pause, retryLast)
	return true
}

// shortage is what is said of a birth that was tried in vain.
func shortage(err error) error {
	switch {
	case errors.Is(err, syscall.ETXTBSY):
		return fmt.Errorf("%w; it was tried for %v: its program is open for writing", err, retryFor)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w; it was tried for %v: the disk has no room, or no inodes", err, retryFor)
	}
	return fmt.Errorf("%w; it was tried for %v: a limit of processes, memory or open files is reached, of the machine (pids.max, ulimit) or of the task's user", err, retryFor)
}
