package main

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// tellTime bounds how long a script waits for its report to be taken, and then for
// it to be read. Progress is a courtesy, and no failure of it is one of the task.
const tellTime = time.Second

// tellProgress sends a report, and waits until it was read: who told it is seen only
// while this process lives. One end of a pipe goes with it, and is closed by whoever
// has read it, as sd_notify_barrier(3) has it.
func tellProgress(address, report string) {
	if address == "" {
		return
	}
	r, w, err := os.Pipe()
	if err != nil {
		return
	}
	defer r.Close()
	err = send(address, report, w)
	w.Close()
	if err == nil {
		_ = r.SetReadDeadline(time.Now().Add(tellTime))
		_, _ = r.Read(make([]byte, 1))
	}
}

func send(address, report string, with *os.File) error {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	patience := unix.NsecToTimeval(int64(tellTime))
	if err := unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience); err != nil {
		return err
	}
	return unix.Sendmsg(socket, []byte(report), unix.UnixRights(int(with.Fd())), &unix.SockaddrUnix{Name: address}, unix.MSG_NOSIGNAL)
}
