//go:build darwin || freebsd

package reception

import (
	"golang.org/x/sys/unix"

	"deputy"
	"deputy/internal/monitor/policy"
)

// peerOf reads who connected: LOCAL_PEERCRED (unix(4)), the effective ids of
// the connecting moment, and no process. It tells at most 16 groups; more give fewer rights.
func peerOf(fd int) (who policy.Identity, pid int, err error) {
	peer, err := unix.GetsockoptXucred(fd, solLocal, unix.LOCAL_PEERCRED)
	if err != nil {
		return policy.Identity{}, 0, err
	}
	n := min(max(int(peer.Ngroups), 0), len(peer.Groups))
	return policy.Identity{Caller: deputy.UIDCaller(peer.Uid), UID: peer.Uid, GIDs: append([]uint32{}, peer.Groups[:n]...)}, 0, nil
}

// solLocal is SOL_LOCAL of <sys/un.h>.
const solLocal = 0

// addGroups has nothing to add: peerOf has read all that the kernel tells.
func addGroups(*policy.Identity, int) error { return nil }
