package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const newer = "boot a newer kernel"

// births tries what a task is started and watched with.
func births(*Machine, context.Context) []Finding {
	var list []Finding
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		list = append(list, Finding{Level: Wrong, What: fmt.Sprintf("cannot watch a process by a descriptor (pidfd_open, Linux 5.3): %v", err), Remedy: newer})
	} else {
		unix.Close(fd)
	}
	// Without arguments clone3(2) is refused for them, if it is there at all.
	if _, _, errno := unix.RawSyscall(unix.SYS_CLONE3, 0, 0, 0); errno != unix.EINVAL && errno != unix.EFAULT && errno != unix.E2BIG {
		list = append(list, Finding{Level: Weaker, What: fmt.Sprintf("a process cannot be born in a cgroup (clone3, Linux 5.7): %v", errno),
			Remedy: newer + ", or let the container's seccomp profile allow clone3"})
	}
	if fd, err := unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS}); err != nil {
		list = append(list, Finding{Level: Weaker, What: fmt.Sprintf("a file cannot be opened beneath a folder (openat2, Linux 5.6): %v", err),
			Follows: "actions with stdin_file", Remedy: newer})
	} else {
		unix.Close(fd)
	}
	if fd, err := unix.MemfdCreate("deputy-doctor", unix.MFD_CLOEXEC); err != nil {
		list = append(list, Finding{Level: Weaker, What: fmt.Sprintf("a task's stdin cannot be made in memory (memfd_create): %v", err), Follows: "actions with stdin", Remedy: newer})
	} else {
		unix.Close(fd)
	}
	if list == nil {
		list = ok("the kernel (" + release() + ") has what tasks are started and watched with")
	}
	return list
}

// exits tries whether the exit of a process can be learned after it was reaped.
func exits(*Machine, context.Context) []Finding {
	err := learnExit()
	if err == nil {
		return ok("exit codes are exact whatever is killed: the kernel tells them to who holds a pidfd")
	}
	return []Finding{{Level: Weaker, What: fmt.Sprintf("the kernel (%s) does not tell the exit of a process that was reaped (PIDFD_INFO_EXIT, Linux 6.15): %v", release(), err),
		Follows: exact + ": what ends while keeper and monitor are both dead is \"unknown\"; if the monitor alone is killed, codes stay exact", Remedy: newer + " where that matters"}}
}

// learnExit starts a process that ends at once, reaps it, and asks its pidfd.
func learnExit() error {
	fd := -1
	p, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{Sys: &syscall.SysProcAttr{PidFD: &fd}})
	if err != nil {
		return err
	}
	if _, err := p.Wait(); err != nil {
		return err
	}
	if fd < 0 {
		return errors.New("there is no pidfd")
	}
	defer unix.Close(fd)
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if err := unix.IoctlPidfdInfo(fd, &info); err != nil {
		return err
	}
	if info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return errors.New("it is not among what it tells")
	}
	return nil
}

// confinement looks at what confines the server.
func confinement(*Machine, context.Context) []Finding {
	var list []Finding
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(nil)), 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		list = append(list, Finding{Level: Weaker, What: fmt.Sprintf("the kernel has no Landlock (Linux 5.13, and lsm=landlock,… at boot): %v", errno),
			Follows: confined + ": a server that was taken over could still read what its user may", Remedy: "add landlock to the kernel's lsm= parameter"})
	}
	if _, err := os.Stat("/proc/sys/kernel/seccomp/actions_avail"); err != nil {
		list = append(list, Finding{Level: Weaker, What: "the kernel has no seccomp filters", Follows: confined + ": a server that was taken over could still use any system call", Remedy: newer})
	}
	if list == nil {
		list = ok(fmt.Sprintf("the server can be confined (seccomp, Landlock ABI %d)", abi))
	}
	return list
}

func release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return strings.TrimRight(unix.ByteSliceToString(u.Release[:]), "\x00")
}
