package process

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A newborn is a copy of its maker between clone and execve. It has a copy of the
// maker's memory and one thread, so the Go runtime in it is dead: it makes the
// raw system calls of its launch, in their order, and nothing else.
// Nobody waits for it: neither memory nor processor is shared with it (CLONE_VM,
// CLONE_VFORK), for once it has changed its user that user may stop it.
//
// What runs without a runtime is marked: its stack is not grown or looked at (nosplit),
// no detector is told (norace, nocheckptr), and it stores no pointer, about which a
// garbage collector would have to be told.

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
	number   uintptr
	args     [5]uintptr
	step     step
	regular  uint32 // not 0: the offset of the unix.Statx_t that it fills, which must be of a regular file
	relative uint16 // bit n: args[n] is an offset from the launch
	lax      uint16 // not 0: where the kernel lacks it, or a container's filter forbids it, it is left out
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

//go:nosplit
//go:norace
//go:nocheckptr
func (s *slot) fail(at step, errno syscall.Errno) {
	atomic.StoreUint32(&s.failed, uint32(at)<<16|uint32(errno)&0xffff)
}

// relocate makes addresses of a launch's offsets, where it now lies and is to stay.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (h *head) relocate() {
	base := uintptr(unsafe.Pointer(h))
	words := unsafe.Slice((*uintptr)(unsafe.Add(unsafe.Pointer(h), h.words)), h.count)
	for i := range words {
		if words[i] != 0 {
			words[i] += base
		}
	}
	calls := h.list()
	for i := range calls {
		for n := range calls[i].args {
			if calls[i].relative&(1<<n) != 0 {
				calls[i].args[n] += base
			}
		}
	}
}

//go:nosplit
//go:norace
//go:nocheckptr
func (h *head) list() []call {
	return unsafe.Slice((*call)(unsafe.Add(unsafe.Pointer(h), h.calls)), uintptr(h.size-h.calls)/unsafe.Sizeof(call{}))
}

// run makes the calls of a launch, in a newborn. It does not return.
//
//go:nosplit
//go:norace
//go:nocheckptr
func (h *head) run(s *slot) {
	var at step
	var errno syscall.Errno
	calls := h.list()
	for i := range calls {
		c := &calls[i]
		_, _, errno = syscall.RawSyscall6(c.number, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], 0)
		at = c.step
		if errno == 0 && c.regular != 0 && (*unix.Statx_t)(unsafe.Add(unsafe.Pointer(h), c.regular)).Mode&unix.S_IFMT != unix.S_IFREG {
			errno = notRegular
		}
		if errno != 0 && !(c.lax != 0 && (errno == unix.ENOSYS || errno == unix.EPERM)) {
			break
		}
	}
	if at == stepExec && errno == unix.ENOENT {
		if _, _, missing := syscall.RawSyscall(unix.SYS_FACCESSAT, atCWD, calls[len(calls)-1].args[0], 0); missing == 0 {
			at = stepInterpreter
		}
	}
	s.fail(at, errno)
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 126, 0, 0)
	}
}

// cloneArgs is struct clone_args of clone3(2).
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// bornAsChild makes a newborn that is a child of ours, where clone3(2) may be
// filtered out. All signals are blocked until the child has no handler any more that would
// call the dead runtime.
//
//go:norace
//go:noinline
func (h *head) bornAsChild(s *slot) syscall.Errno {
	h.relocate()
	beforeFork()
	pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, unix.CLONE_PARENT_SETTID|uintptr(unix.SIGCHLD), 0, uintptr(unsafe.Pointer(&s.pid)), 0, 0, 0)
	if errno != 0 || pid != 0 {
		afterFork()
		return errno
	}
	afterForkInChild()
	h.run(s)
	return 0
}
