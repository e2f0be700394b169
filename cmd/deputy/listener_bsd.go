//go:build darwin || freebsd

package main

import (
	"net"

	"golang.org/x/sys/unix"
)

// listener gives the user id of the process that listens at the other end.
func listener(conn net.Conn) (uid int, known bool, err error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, false, nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, false, err
	}
	var who *unix.Xucred
	if failed := raw.Control(func(fd uintptr) { who, err = unix.GetsockoptXucred(int(fd), 0, unix.LOCAL_PEERCRED) }); failed != nil {
		err = failed
	}
	if err != nil {
		return 0, false, err
	}
	return int(who.Uid), true, nil
}
