package warden

import "golang.org/x/sys/unix"

// unixPair makes a connected pair of non-blocking ones.
func unixPair(kind int) (fds [2]int, err error) {
	return unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
}
