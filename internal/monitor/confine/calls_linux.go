//go:build amd64 || arm64 || riscv64

package confine

import (
	"golang.org/x/sys/unix"

	"deputy/internal/seccomp"
)

// rules is the filter of the server, which is process pid: what net/http,
// SQLite and the runtime of Go need, as seen with strace over all front doors
// and as their code says. What a server is never seen to do, only one that was
// taken over does: it ends then. All else fails as in a kernel that lacks it,
// which a newer runtime that tries a newer call is ready for.
func rules(pid int, listens bool) []seccomp.Rule {
	list := []seccomp.Rule{
		{Do: seccomp.Allow, Calls: []uintptr{ // descriptors; first what is called most
			unix.SYS_READ, unix.SYS_WRITE, unix.SYS_FUTEX, unix.SYS_EPOLL_PWAIT, unix.SYS_NANOSLEEP, unix.SYS_CLOSE,
			unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_LSEEK, unix.SYS_FCNTL,
			unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EVENTFD2, unix.SYS_PPOLL,
			unix.SYS_PIPE2, unix.SYS_SENDFILE, unix.SYS_SPLICE, // net's way from a file to a socket
		}},
		{Do: seccomp.Allow, Calls: []uintptr{ // sockets that it was given; it sends to no address, and no descriptor
			unix.SYS_ACCEPT4, unix.SYS_RECVMSG, unix.SYS_RECVFROM, unix.SYS_SHUTDOWN,
			unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME, unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT,
		}},
		{Do: seccomp.Allow, Calls: []uintptr{unix.SYS_SENDTO}, Args: []seccomp.Arg{{Index: 4, Mask: seccomp.Whole}}},
		{Do: seccomp.Allow, Calls: []uintptr{ // files; which ones is Landlock's
			unix.SYS_FSTAT, unix.SYS_STATX, unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_READLINKAT,
			unix.SYS_GETDENTS64, unix.SYS_GETCWD, unix.SYS_UNLINKAT, unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE,
			unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FCHOWN, unix.SYS_STATFS,
			unix.SYS_INOTIFY_INIT1, unix.SYS_INOTIFY_ADD_WATCH, unix.SYS_INOTIFY_RM_WATCH,
		}},
		{Do: seccomp.Allow, Calls: []uintptr{unix.SYS_FCHMOD}, Args: []seccomp.Arg{{Index: 1, Mask: modesOfOthers}}},
		{Do: seccomp.Allow, Calls: []uintptr{ // memory: none that is new can be executed
			unix.SYS_MMAP, unix.SYS_MPROTECT,
		}, Args: []seccomp.Arg{{Index: 2, Mask: unix.PROT_EXEC}}},
		{Do: seccomp.Allow, Calls: []uintptr{unix.SYS_MUNMAP, unix.SYS_MREMAP, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK}},
		{Do: seccomp.Allow, Calls: []uintptr{ // threads, time, signals, and who it is
			unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_GETTID, unix.SYS_GETPID,
			unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_GETTIMEOFDAY, unix.SYS_GETRANDOM,
			unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
			unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_UNAME,
			unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
		}},
		{Do: seccomp.Allow, Calls: []uintptr{unix.SYS_CLONE}, Args: []seccomp.Arg{{Index: 0, Mask: seccomp.Whole &^ unix.CLONE_SETTLS, Value: thread}}},
		{Do: seccomp.Allow, Calls: []uintptr{unix.SYS_TGKILL, unix.SYS_KILL}, Args: []seccomp.Arg{{Index: 0, Mask: seccomp.Whole, Value: uint64(pid)}}},
		{Do: seccomp.Allow, Calls: []uintptr{unix.SYS_PRLIMIT64}, Args: []seccomp.Arg{{Index: 0, Mask: seccomp.Whole}}},                              // 0: itself
		{Do: seccomp.Allow, Calls: []uintptr{unix.SYS_PRCTL}, Args: []seccomp.Arg{{Index: 0, Mask: seccomp.Whole, Value: unix.PR_SET_VMA}}},          // names of its memory
		{Do: seccomp.Allow, Calls: []uintptr{unix.SYS_PRCTL}, Args: []seccomp.Arg{{Index: 0, Mask: seccomp.Whole, Value: unix.PR_GET_NO_NEW_PRIVS}}}, // am I confined?
		{Do: seccomp.Allow, Calls: []uintptr{unix.SYS_EXECVE, unix.SYS_SECCOMP}},                                                                     // to become the server, and to seal that
		{Do: seccomp.Allow, Calls: older()},
	}
	list = append(list, opens(1, unix.SYS_OPENAT)...)
	list = append(list, opens(0, olderOpens()...)...)
	if listens {
		for _, family := range []uint64{unix.AF_INET, unix.AF_INET6} {
			list = append(list, seccomp.Rule{Do: seccomp.Allow, Calls: []uintptr{unix.SYS_SOCKET}, Args: []seccomp.Arg{
				{Index: 0, Mask: seccomp.Whole, Value: family},
				{Index: 1, Mask: 0xf, Value: unix.SOCK_STREAM}, // above are flags
				{Index: 2, Mask: seccomp.Whole},                // the family's own: of MPTCP Landlock knows no ports
			}})
		}
		list = append(list, seccomp.Rule{Do: seccomp.Allow, Calls: []uintptr{unix.SYS_BIND, unix.SYS_LISTEN}})
	}
	return append(list, seccomp.Rule{Do: seccomp.Kill, Calls: hostile()})
}

// Modes that the server gives no file: set-user-ID, set-group-ID and sticky at its
// creation; and later none either by which others could write to a file, or by
// which a folder could be entered.
const (
	modesAbove    = 0o7000
	modesOfOthers = modesAbove | 0o133
)

// opens allows calls that open a file, whose path is argument at, flags and mode
// the next two. Of one that is to be created the mode counts.
func opens(at int, calls ...uintptr) []seccomp.Rule {
	const creates = unix.O_CREAT | unix.O_TMPFILE&^unix.O_DIRECTORY
	return []seccomp.Rule{
		{Do: seccomp.Allow, Calls: calls, Args: []seccomp.Arg{{Index: at + 1, Mask: creates}}},
		{Do: seccomp.Allow, Calls: calls, Args: []seccomp.Arg{{Index: at + 2, Mask: modesAbove}}},
	}
}

// thread is how the runtime of Go makes one, with CLONE_SETTLS or without.
const thread = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD

// hostile is what a server does only for somebody else. Not among them are
// clone3, whose flags stand in memory (who tries it falls back to clone), and
// socket: net asks netlink for the name of a link-local peer's interface, and
// does without.
func hostile() []uintptr {
	return append([]uintptr{
		unix.SYS_EXECVEAT, unix.SYS_CLONE, unix.SYS_MMAP, unix.SYS_MPROTECT, unix.SYS_PKEY_MPROTECT, // where not allowed above
		unix.SYS_OPENAT, unix.SYS_FCHMOD, // the same
		unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_SENDTO, unix.SYS_SENDMSG, unix.SYS_SENDMMSG, unix.SYS_BIND, unix.SYS_LISTEN,
		unix.SYS_KILL, unix.SYS_TGKILL, unix.SYS_TKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO,
		unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_GETFD, unix.SYS_PIDFD_SEND_SIGNAL,
		unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_KCMP,
		unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID, unix.SYS_SETRESGID,
		unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_SETGROUPS, unix.SYS_CAPSET,
		unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE, unix.SYS_FSOPEN,
		unix.SYS_FSMOUNT, unix.SYS_MOUNT_SETATTR, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_OPEN_BY_HANDLE_AT,
		unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
		unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_MEMFD_CREATE,
		unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT,
		unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_PERSONALITY,
		unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_ADJTIMEX, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
	}, olderHostile()...)
}
