package main

import (
	"net"

	"golang.org/x/sys/unix"
)

// listener gives the user id of the process that listens at the other end; known
// is false where the kernel does not tell of such ends.
func listener(conn net.Conn) (uid int, known bool, err error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, false, nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, false, err
	}
	var who *unix.Ucred
	if failed := raw.Control(func(fd uintptr) { who, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); failed != nil {
		err = failed
	}
	if err != nil {
		return 0, false, err
	}
	return int(who.Uid), true, nil
}
