package wall

import "golang.org/x/sys/unix"

// DoorType is the type of the sockets of a Door.
const DoorType = unix.SOCK_SEQPACKET

func receive(door int, m, control []byte) (n, controlLen int, err error) {
	n, controlLen, _, _, err = unix.Recvmsg(door, m, control, unix.MSG_CMSG_CLOEXEC)
	return n, controlLen, err
}
