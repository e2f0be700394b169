//go:build linux

package keeper

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxFrame is the longest frame, in bytes; the longest text is /proc/PID/cgroup.
const maxFrame = 64 << 10

// frame is one message; fd is -1 where it carries none.
type frame struct {
	text string
	fd   int
}

func send(socket int, text string, fd int) error {
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	for {
		err := unix.Sendmsg(socket, []byte(text[:min(len(text), maxFrame)]), rights, nil, unix.MSG_NOSIGNAL)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// receive waits for one frame; ok is false at the other's end.
func receive(socket int, buf []byte) (f frame, ok bool) {
	var rights [64]byte
	for {
		n, rn, _, _, err := unix.Recvmsg(socket, buf, rights[:], unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return frame{}, false
		}
		return frame{string(buf[:n]), receivedFD(rights[:rn])}, true
	}
}

// receivedFD takes the one descriptor of a message; more are never sent.
func receivedFD(rights []byte) int {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) == 0 {
		return -1
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1
	}
	return fds[0]
}

func receiveAll(socket int, frames chan<- frame) {
	defer close(frames)
	buf := make([]byte, maxFrame)
	for {
		f, ok := receive(socket, buf)
		if !ok {
			return
		}
		frames <- f
	}
}

// childInfo is siginfo_t as waitid(2) fills it; the union behind the first
// three members is aligned as a pointer.
type childInfo struct {
	signo, errno, code int32
	_                  [unsafe.Sizeof(uintptr(0)) / 8]int32
	pid                int32
	_                  [108]byte
}

// endedChild gives the PID of some child that has ended, and leaves it a
// zombie; 0 if there is none.
func endedChild() int {
	var info childInfo
	err := unix.Waitid(unix.P_ALL, 0, (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	if err != nil {
		return 0
	}
	return int(info.pid)
}

func describe(status unix.WaitStatus) string {
	if status.Signaled() {
		return unix.SignalName(status.Signal())
	}
	return fmt.Sprintf("exit code %d", status.ExitStatus())
}
