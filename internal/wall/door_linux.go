package wall

import "golang.org/x/sys/unix"

// DoorType is the type of the sockets of a Door.
const DoorType = unix.SOCK_SEQPACKET

// receive takes one message. Its descriptor would be lost if there were no room
// for it (MSG_CTRUNC, unix(7)): so the message is looked at first, which gives
// the descriptor, too, and taken off only then.
func receive(door int, m, control []byte) (n, controlLen int, err error) {
	n, controlLen, flags, _, err := unix.Recvmsg(door, m, control, unix.MSG_PEEK|unix.MSG_CMSG_CLOEXEC)
	if err == nil && controlLen == 0 && flags&unix.MSG_CTRUNC != 0 {
		return 0, 0, errNoRoom
	}
	if err == nil && n > 0 {
		_, _, _, _, err = unix.Recvmsg(door, m, nil, 0) // the same: there is one receiver
	}
	return n, controlLen, err
}
