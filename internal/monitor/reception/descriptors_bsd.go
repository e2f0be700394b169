//go:build darwin || freebsd

package reception

import (
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
