package confine

import "golang.org/x/sys/unix"

// older are calls that newer architectures never had, of the runtime of Go and
// the libc that SQLite was translated with.
func older() []uintptr {
	return []uintptr{
		unix.SYS_ARCH_PRCTL, unix.SYS_NEWFSTATAT, unix.SYS_GETRLIMIT, unix.SYS_EPOLL_WAIT, unix.SYS_POLL,
		unix.SYS_STAT, unix.SYS_LSTAT, unix.SYS_ACCESS, unix.SYS_READLINK, unix.SYS_UNLINK, unix.SYS_RMDIR, unix.SYS_TIME,
	}
}

// olderOpens open a file by its path alone.
func olderOpens() []uintptr { return []uintptr{unix.SYS_OPEN} }

func olderHostile() []uintptr {
	return []uintptr{unix.SYS_OPEN, unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT, unix.SYS_USELIB, unix.SYS_KEXEC_FILE_LOAD}
}
