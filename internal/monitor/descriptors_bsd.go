//go:build darwin || freebsd

package monitor

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// A descriptor cannot be made close-on-exec at its birth on macOS: while it is
// not, nothing may be forked (syscall.ForkLock).

func accept(listener int) (fd int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if fd, _, err = unix.Accept(listener); err != nil {
		return fd, err
	}
	unix.CloseOnExec(fd)
	return fd, unix.SetNonblock(fd, true)
}

// unixSocket makes a Unix socket that no child inherits.
func unixSocket(kind int) (fd int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if fd, err = unix.Socket(unix.AF_UNIX, kind, 0); err == nil {
		unix.CloseOnExec(fd)
	}
	return fd, err
}

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
