package sockets

import (
	"errors"

	"golang.org/x/sys/unix"
)

// unixSocket makes a Unix socket that no child inherits.
func unixSocket(kind int) (fd int, err error) {
	return unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
}

// isDead says whether nobody listens at a path: the service manager has passed on the
// socket that it made, and what stands there is the one that we made when that was deleted.
// Where it is ours the reception closes the connection: it is from this process.
func isDead(path string) bool {
	fd, err := unixSocket(unix.SOCK_STREAM)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.SetNonblock(fd, true) == nil && errors.Is(unix.Connect(fd, &unix.SockaddrUnix{Name: path}), unix.ECONNREFUSED)
}
