//go:build darwin || freebsd

package wall

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// DoorType is the type of the sockets of a Door: macOS has no SOCK_SEQPACKET.
// Messages are of one length, and the kernel takes one of them whole or not at
// all: less than the send buffer's low-water mark.
const DoorType = unix.SOCK_STREAM

// receive takes one message. A descriptor is not close-on-exec for a moment, in
// which nothing may be forked.
func receive(door int, m, control []byte) (n, controlLen int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	n, controlLen, _, _, err = unix.Recvmsg(door, m[:doorMessage], control, 0)
	if err == nil && controlLen > 0 {
		if fd, err := oneDescriptor(control[:controlLen]); err == nil {
			unix.CloseOnExec(fd)
		}
	}
	return n, controlLen, err
}
