//go:build unix

package keeper

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// window bounds the exits that are told and not done: as many fit in the socket,
// so neither end waits for the other.
const window = 64

// reap looks after the monitor, and for a ready one after everyone else. A
// monitor that is dead is taken first, so it cannot stand before the others. What
// a dying one leaves us is for the next to find: whether it dies is asked after
// its child was seen, for a process begins to exit before it loses its children.
func (k *keeper) reap() (code int, over bool) {
	var status unix.WaitStatus
	if k.pid > 0 {
		if pid, _ := unix.Wait4(k.pid, &status, unix.WNOHANG, nil); pid == k.pid {
			return k.monitorEnded(status)
		}
	}
	for k.ready && len(k.untold) < window {
		pid := endedChild()
		if pid == 0 || pid == k.pid || exiting(k.pid) {
			break
		}
		// Before the reaping, and readable even when the cgroup is removed.
		cgroup, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if reaped, _ := unix.Wait4(pid, &status, unix.WNOHANG, nil); reaped == pid {
			k.seq++
			k.untold[k.seq] = fmt.Sprintf("exit %d %d %d\n%s", k.seq, pid, uint32(status), cgroup)
			_ = send(k.socket, k.untold[k.seq], -1, 0)
		}
	}
	return 0, false
}
