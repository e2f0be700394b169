//go:build linux

package keeper

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// window bounds the exits that are told and not done: as many fit in the socket,
// so neither end waits for the other.
const window = 64

// reap looks after the monitor, and for a ready one after everyone else. A
// monitor that is dead is taken first, so it cannot stand before the others.
func (k *keeper) reap() (code int, over bool) {
	var status unix.WaitStatus
	if k.pid > 0 {
		if pid, _ := unix.Wait4(k.pid, &status, unix.WNOHANG, nil); pid == k.pid {
			return k.monitorEnded(status)
		}
	}
	for k.ready && len(k.untold) < window {
		pid := endedChild()
		if pid == 0 || pid == k.pid {
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
