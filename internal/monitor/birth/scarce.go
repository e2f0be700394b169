package birth

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
	RetryFirst = 50 * time.Millisecond
	RetryLast  = time.Second
	RetryFor   = 5 * time.Second
)

// Scarce says whether a birth failed for want of what may come back.
func Scarce(err error) bool {
	// ETXTBSY: the program is being written anew, as an installer does.
	for _, errno := range []error{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.ETXTBSY, syscall.ENOSPC} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// Shortage is what is said of a birth that was tried in vain.
func Shortage(err error) error {
	switch {
	case errors.Is(err, syscall.ETXTBSY):
		return fmt.Errorf("%w; it was tried for %v: its program is open for writing", err, RetryFor)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w; it was tried for %v: the disk has no room, or no inodes", err, RetryFor)
	}
	return fmt.Errorf("%w; it was tried for %v: a limit of processes, memory or open files is reached, of the machine (pids.max, ulimit) or of the task's user", err, RetryFor)
}
