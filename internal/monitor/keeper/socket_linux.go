package keeper

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxFrame is the longest frame, in bytes; the longest text is /proc/PID/cgroup.
const maxFrame = 64 << 10

func socketpair() ([2]int, error) {
	return unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
}

// monitorAttributes give a monitor a process group of its own: a Ctrl-C at the
// terminal reaches it once, through us. Our death wakes one that is stopped, so
// that it ends, too.
func monitorAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGCONT}
}

// carrier makes the file of what lives through execute.
func carrier() (fd int, err error) { return unix.MemfdCreate("keeper", unix.MFD_CLOEXEC) }

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

// receive waits for one frame; ok is false at the other's end.
func receive(socket int, buf []byte) (f frame, ok bool) {
	var rights [64]byte
	for {
		n, rn, _, _, err := unix.Recvmsg(socket, buf, rights[:], unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return frame{}, false
		}
		return frame{string(buf[:n]), receivedFD(rights[:rn])}, true
	}
}

// becomeSubreaper makes the tasks of a monitor that died our children
// (PR_SET_CHILD_SUBREAPER(2const)).
func becomeSubreaper() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// childInfo is siginfo_t as waitid(2) fills it; the union behind the first
// three members is aligned as a pointer.
type childInfo struct {
	signo, errno, code int32
	_                  [unsafe.Sizeof(uintptr(0)) / 8]int32
	pid                int32
	_                  [108]byte
}

// exiting says whether a child of ours has begun to exit, or has; it is not reaped
// (PF_EXITING of the kernel's sched.h in the flags of proc_pid_stat(5)).
func exiting(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:]) // comm may hold anything; the state is next
	if err != nil || len(fields) < 7 {
		return true
	}
	flags, err := strconv.ParseUint(string(fields[6]), 10, 64)
	const pfExiting = 0x4
	return err != nil || flags&pfExiting != 0 || fields[0][0] == 'Z' || fields[0][0] == 'X'
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
