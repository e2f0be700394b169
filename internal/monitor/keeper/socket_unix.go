//go:build unix

package keeper

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// frame is one message; fd is -1 where it carries none.
type frame struct {
	text string
	fd   int
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

// upgrade is the frame by which the monitor orders a new program.
const upgrade = "upgrade"

// receiveAll gives each frame to frames. Behind the order to execute a new program
// it takes none: those are for that program.
func receiveAll(socket int, frames chan<- frame) {
	buf := make([]byte, maxFrame)
	for {
		f, ok := receive(socket, buf)
		if !ok {
			close(frames)
			return
		}
		frames <- f
		if f.text == upgrade {
			return
		}
	}
}

func describe(status unix.WaitStatus) string {
	if status.Signaled() {
		return unix.SignalName(status.Signal())
	}
	return fmt.Sprintf("exit code %d", status.ExitStatus())
}
