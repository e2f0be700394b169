package rig

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Lingering gives a TCP socket that has what it cannot send, for nobody reads it at the other
// end, and whose close waits an hour for it. That end is in a backlog until the process ends.
func Lingering() (int, error) {
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	address := unix.Sockaddr(&unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	err = errors.Join(unix.SetsockoptInt(listener, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096), unix.Bind(listener, address), unix.Listen(listener, 1))
	if err == nil {
		address, err = unix.Getsockname(listener)
	}
	fd, madeErr := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err = errors.Join(err, madeErr, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4096)); err != nil {
		return -1, err
	}
	if err := unix.Connect(fd, address); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return -1, err
	}
	ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for {
		if n, err := unix.Poll(ready, 20); err != nil && !errors.Is(err, unix.EINTR) {
			return -1, err
		} else if n == 0 { // both ends are full
			break
		}
		_, _ = unix.Write(fd, make([]byte, 64<<10))
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		return -1, err
	}
	return fd, unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 3600})
}
