package process

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A newborn is a copy of its maker between clone and execve. It has a copy of the
// maker's memory and one thread, so the Go runtime in it is dead: it makes the
// raw system calls that its maker has listed, in their order, and nothing else.
// Nobody waits for it: neither memory nor processor is shared with it (CLONE_VM,
// CLONE_VFORK), for once it has changed its user that user may stop it.

//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

//go:linkname afterForkInChild syscall.runtime_AfterForkInChild
func afterForkInChild()

// step is what a call of a newborn is for, to say which one failed.
type step uint32

const (
	stepNone        step = iota
	stepClone            // the newborn could not be made
	stepSession          // a session and keyring of its own
	stepDescriptors      // 0, 1 and 2
	stepUser             // its groups, group and user
	stepDirectory
	stepFile        // of the input; stepFile+n is the n-th of maxFiles other files
	stepExec        = stepFile + maxFiles + 1
	stepInterpreter = stepExec + 1 // the program is there, what it names as its interpreter is not
)

func (s step) String() string {
	switch s {
	case stepClone:
		return "cannot make a process"
	case stepSession:
		return "cannot give it a session and a keyring of its own"
	case stepDescriptors:
		return "cannot give it its descriptors"
	case stepUser:
		return "cannot become its user"
	}
	return "cannot start it"
}

// maxFiles is how many files one start can be handed beside its input.
const maxFiles = 16

// call is one system call of a newborn.
type call struct {
	number  uintptr
	args    [5]uintptr
	step    step
	regular *unix.Statx_t // filled by this call: it must be of a regular file, if not nil
	lax     bool          // where the kernel lacks it, or a container's filter forbids it, it is left out
}

// notRegular is told where a file is something else; no errno of the kernel's.
const notRegular = syscall.Errno(4000)

// slot is where a birth is told of, in memory that newborn, maker and monitor
// share. The kernel writes pid before the newborn runs (CLONE_PARENT_SETTID).
type slot struct {
	pid    uint32
	failed uint32 // step<<16 | errno; 0: nothing has
}

func (s *slot) clear() {
	atomic.StoreUint32(&s.pid, 0)
	atomic.StoreUint32(&s.failed, 0)
}

// result is the newborn's PID, 0 if there was none, and what failed.
func (s *slot) result() (pid int, at step, errno syscall.Errno) {
	failed := atomic.LoadUint32(&s.failed)
	return int(atomic.LoadUint32(&s.pid)), step(failed >> 16), syscall.Errno(failed & 0xffff)
}

func (s *slot) fail(at step, errno syscall.Errno) {
	atomic.StoreUint32(&s.failed, uint32(at)<<16|uint32(errno)&0xffff)
}

// cloneArgs is struct clone_args of clone3(2).
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// bornAsSibling makes a newborn that is a child of our parent, in the cgroup of
// an open directory.
func (l *launch) bornAsSibling(cgroup int, s *slot) syscall.Errno {
	l.clone = cloneArgs{ // its exit signal is our own: the kernel takes no other with CLONE_PARENT
		flags:     unix.CLONE_PARENT | unix.CLONE_INTO_CGROUP | unix.CLONE_PARENT_SETTID | unix.CLONE_CLEAR_SIGHAND,
		parentTID: uint64(uintptr(unsafe.Pointer(&s.pid))), cgroup: uint64(cgroup),
	}
	return clone(unix.SYS_CLONE3, l.pointer(unsafe.Pointer(&l.clone)), unsafe.Sizeof(l.clone), 0, l.calls, s)
}

// bornAsChild makes a newborn that is a child of ours, where clone3(2) may be
// filtered out.
func (l *launch) bornAsChild(s *slot) syscall.Errno {
	return clone(unix.SYS_CLONE, unix.CLONE_PARENT_SETTID|uintptr(unix.SIGCHLD), 0, uintptr(unsafe.Pointer(&s.pid)), l.calls, s)
}

// clone forks. In the child it does not return. All signals are blocked until
// the child has no handler any more that would call the dead runtime.
//
//go:norace
//go:noinline
func clone(number, a1, a2, a3 uintptr, calls []call, s *slot) syscall.Errno {
	beforeFork()
	pid, _, errno := syscall.RawSyscall6(number, a1, a2, a3, 0, 0, 0)
	if errno != 0 || pid != 0 {
		afterFork()
		return errno
	}
	afterForkInChild()
	var at step
	for i := range calls {
		c := &calls[i]
		_, _, errno = syscall.RawSyscall6(c.number, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], 0)
		at = c.step
		if errno == 0 && c.regular != nil && c.regular.Mode&unix.S_IFMT != unix.S_IFREG {
			errno = notRegular
		}
		if errno != 0 && !(c.lax && (errno == unix.ENOSYS || errno == unix.EPERM)) {
			break
		}
	}
	if at == stepExec && errno == unix.ENOENT {
		if _, _, missing := syscall.RawSyscall(unix.SYS_FACCESSAT, atCWD, calls[len(calls)-1].args[0], 0); missing == 0 {
			at = stepInterpreter
		}
	}
	s.failed = uint32(at)<<16 | uint32(errno)
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 126, 0, 0)
	}
}
