package reception

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/internal/monitor/policy"
)

const (
	maxGroups    = 1 << 16 // NGROUPS_MAX
	soPeerGroups = 59      // SO_PEERGROUPS, socket(7)
)

// peerOf reads who connected, and which process that was: SO_PEERCRED. The groups are but
// the first; addGroups reads the others.
func peerOf(fd int) (who policy.Identity, pid int, err error) {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return policy.Identity{}, 0, err
	}
	return policy.Identity{Caller: deputy.UIDCaller(peer.Uid), UID: peer.Uid, GIDs: []uint32{peer.Gid}}, int(peer.Pid), nil
}

// addGroups reads the supplementary groups of who connected.
func addGroups(who *policy.Identity, fd int) error {
	groups, err := peerGroups(fd)
	who.GIDs = append(groups, who.GIDs...)
	return err
}

// peerGroups reads SO_PEERGROUPS: the supplementary groups of the peer when it
// connected, in 32-bit ids (socket(7)).
func peerGroups(fd int) ([]uint32, error) {
	groups := make([]uint32, 64)
	for {
		size := uint32(len(groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, soPeerGroups,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return groups[:size/4], nil
		case errno == unix.ERANGE && size/4 > uint32(len(groups)) && size/4 <= maxGroups:
			groups = make([]uint32, size/4)
		default:
			return nil, errno
		}
	}
}
