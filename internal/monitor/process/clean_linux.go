package process

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// softFiles is the soft limit of open files that a fresh login would have.
const softFiles = 1024

// cleanMark in the environment holds the PID of a process that CleanSelf has
// started again.
const cleanMark = "DEPUTY_CLEAN"

// CleanSelf undoes what this process inherited by accident and its children
// would inherit from it: ignored and blocked signals, the umask, soft limits,
// open descriptors. It must be the first call of main. Ignored signals and the
// mask are taken up by the Go runtime before main, and by every thread, so the
// program executes itself once; descriptors above 2 live through that, and are
// then closed for children only. What a clean keeper starts is clean already.
func CleanSelf() error {
	pid := strconv.Itoa(os.Getpid())
	if os.Getenv(cleanMark) != pid {
		return startAgainClean(pid)
	}
	if err := os.Unsetenv(cleanMark); err != nil {
		return err
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("cannot list our descriptors: %w", err)
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// Cleaned is what a clean program puts into the environment of one that it
// executes in its own process, where that must keep blocked signals and
// descriptors as they are.
func Cleaned() string { return cleanMark + "=" + strconv.Itoa(os.Getpid()) }

func startAgainClean(pid string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find our own program: %w", err)
	}
	unix.Umask(0o022)
	resetLimits()
	runtime.LockOSThread() // the mask of the thread that executes is the one that counts
	defer runtime.UnlockOSThread()
	var none [64]byte // a struct sigaction, or a sigset_t, of zeros: SIG_DFL, and the empty mask
	for sig := uintptr(1); sig <= 64; sig++ {
		// KILL, STOP and what the machine lacks are refused, and need nothing.
		_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&none)), 0, 8, 0, 0)
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&none)), 0, 8, 0, 0)
	if errno != 0 {
		return fmt.Errorf("cannot unblock signals: %w", errno)
	}
	err = syscall.Exec(self, os.Args, append(os.Environ(), cleanMark+"="+pid))
	return fmt.Errorf("cannot start %s again: %w", self, err)
}

// resetLimits sets the soft limits that a fresh login would have: open files
// 1024, no core files, a stack of 8 MiB, and for all else the hard limit, which
// stays the administrator's. The Go runtime raises its own open files, and
// gives its children back what it found.
func resetLimits() {
	soft := map[int]uint64{unix.RLIMIT_NOFILE: softFiles, unix.RLIMIT_CORE: 0, unix.RLIMIT_STACK: 8 << 20}
	for resource := 0; ; resource++ {
		var limit unix.Rlimit
		if err := unix.Getrlimit(resource, &limit); errors.Is(err, unix.EINVAL) {
			return // the last is behind us
		}
		limit.Cur = limit.Max
		if want, ok := soft[resource]; ok {
			limit.Cur = min(want, limit.Max)
		}
		// syscall's own, so that the runtime forgets the limit that it found.
		_ = syscall.Setrlimit(resource, &syscall.Rlimit{Cur: limit.Cur, Max: limit.Max})
	}
}
