//go:build darwin || freebsd

package warden

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// unixPair makes a connected pair of non-blocking ones.
func unixPair(kind int) (fds [2]int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if fds, err = unix.Socketpair(unix.AF_UNIX, kind, 0); err != nil {
		return fds, err
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
		err = errors.Join(err, unix.SetNonblock(fd, true))
	}
	return fds, err
}
