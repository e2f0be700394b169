package reception

import "golang.org/x/sys/unix"

func accept(listener int) (fd int, err error) {
	fd, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	return fd, err
}

// refuseRights has the kernel refuse descriptors that a peer of a listening socket's would
// send with its bytes (Linux 6.16): nobody takes them, and to drop one may take as long as
// its owner likes. false: an older kernel does not.
func refuseRights(listener int) bool {
	return unix.SetsockoptInt(listener, unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 0) == nil
}
