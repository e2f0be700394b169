//go:build linux

package keeper

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// maxFrame is the longest frame, in bytes; the longest text is /proc/PID/cgroup.
const maxFrame = 64 << 10

// upgrade is the frame by which the monitor orders a new program.
const upgrade = "upgrade"

// frame is one message; fd is -1 where it carries none.
type frame struct {
	text string
	fd   int
}

// send passes one frame; flags are those of sendmsg(2).
func send(socket int, text string, fd, flags int) error {
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	for {
		err := unix.Sendmsg(socket, []byte(text[:min(len(text), maxFrame)]), rights, nil, flags|unix.MSG_NOSIGNAL)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// receive waits for one frame; io.EOF is the other's end.
func receive(socket int, buf []byte) (frame, error) {
	var rights [64]byte
	for {
		n, rn, _, _, err := unix.Recvmsg(socket, buf, rights[:], unix.MSG_CMSG_CLOEXEC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return frame{fd: -1}, err
		case n == 0:
			return frame{fd: -1}, io.EOF
		}
		return frame{string(buf[:n]), receivedFD(rights[:rn])}, nil
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

// receiveAll gives each frame to frames. Behind the order to execute a new program
// it takes none: those are for that program.
func receiveAll(socket int, frames chan<- frame) {
	buf := make([]byte, maxFrame)
	for {
		f, err := receive(socket, buf)
		if err != nil {
			close(frames)
			return
		}
		frames <- f
		if f.text == upgrade {
			return
		}
	}
}
