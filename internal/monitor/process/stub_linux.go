package process

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forker is all that a forker works with, in memory of its own. It is a process without a
// Go runtime (see newborn_linux.go): a fork copies the tables of all memory, and marks it to be
// copied when it is next written to, and a runtime has threads that write all the time. So a forker
// has one thread, this memory, a few pages of stack, and the program.
type forker struct {
	msg     unix.Msghdr
	fresh   unix.Msghdr // its sizes before each message: the kernel overwrites them
	iov     unix.Iovec
	clone   cloneArgs
	slots   *slots
	launch  *head // where a launch is received, and run
	control int   // size of a control message's head
	stack   area  // of which all but what is used is given back
	oob     [64]byte
}

// area is memory from, and up to.
type area struct{ from, to uintptr }

const (
	launchSent = 96 << 10 // bytes that are sent as one message
	launchMost = 8 << 20  // more than execve(2) takes of argv and environment
	stackUsed  = 16 << 10 // on each side of a local variable
)

// newForker makes one in memory that a newborn shares with nobody. What is never touched takes none.
func newForker(slots *slots) (*forker, error) {
	page := os.Getpagesize()
	mem, err := unix.Mmap(-1, 0, page+launchMost, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("cannot get memory: %w", err)
	}
	f := (*forker)(unsafe.Pointer(&mem[0]))
	f.slots, f.launch = slots, (*head)(unsafe.Pointer(&mem[page]))
	f.iov.Base = &mem[page]
	f.iov.SetLen(launchSent)
	f.msg.Iov, f.msg.Control = &f.iov, &f.oob[0]
	f.msg.SetIovlen(1)
	f.fresh.SetControllen(len(f.oob))
	f.control = unix.CmsgLen(0)
	return f, nil
}

// split makes the forker's process, a child of our parent. There it does not return.
//
//go:norace
//go:noinline
//go:nosplit
//go:nocheckptr
func (f *forker) split() syscall.Errno {
	// Its exit signal is our own: the kernel takes no other with CLONE_PARENT. No handler of
	// the runtime's is left in it.
	f.clone.flags = unix.CLONE_PARENT | unix.CLONE_PARENT_SETTID | unix.CLONE_CLEAR_SIGHAND
	f.clone.parentTID = uint64(uintptr(unsafe.Pointer(&f.slots[0].pid)))
	pid, _, errno := syscall.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&f.clone)), unsafe.Sizeof(f.clone), 0)
	if errno != 0 || pid != 0 {
		return errno
	}
	var none uint64
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&none)), 0, unsafe.Sizeof(none), 0, 0)
	syscall.RawSyscall(unix.SYS_CLOSE_RANGE, forkerFiles, uintptr(^uint32(0)), 0) // the runtime's
	if f.stack.from != 0 {
		here := uintptr(unsafe.Pointer(&none)) &^ (stackUsed - 1)
		if here-stackUsed > f.stack.from {
			syscall.RawSyscall(unix.SYS_MADVISE, f.stack.from, here-stackUsed-f.stack.from, unix.MADV_DONTNEED)
		}
		if here+2*stackUsed < f.stack.to {
			syscall.RawSyscall(unix.SYS_MADVISE, here+2*stackUsed, f.stack.to-here-2*stackUsed, unix.MADV_DONTNEED)
		}
	}
	f.serve()
	return 0
}

// serve does what it is ordered to, until the monitor is gone.
//
//go:norace
//go:nosplit
//go:nocheckptr
func (f *forker) serve() {
	h := f.launch
	for {
		f.msg.Controllen = f.fresh.Controllen
		n, _, errno := syscall.RawSyscall(unix.SYS_RECVMSG, forkerSocket, uintptr(unsafe.Pointer(&f.msg)), unix.MSG_CMSG_CLOEXEC)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 || n == 0 {
			exit(0)
		}
		files := f.files()
		if n < unsafe.Sizeof(*h) || files < fileStdin || uintptr(h.slot) >= uintptr(len(f.slots)) {
			f.refuse()
		}
		slot := &f.slots[h.slot]
		if h.apart != 0 {
			n, errno = f.read(forkerFiles + files - 1)
		}
		if errno == 0 {
			if n != uintptr(h.size) || h.calls > h.size {
				f.refuse()
			}
			errno = f.make(slot)
		}
		if errno != 0 {
			slot.fail(stepClone, errno)
		}
		syscall.RawSyscall(unix.SYS_MADVISE, uintptr(unsafe.Pointer(h)), (n+stackUsed)&^(stackUsed-1), unix.MADV_DONTNEED)
		syscall.RawSyscall(unix.SYS_CLOSE_RANGE, forkerFiles, uintptr(^uint32(0)), 0)
	}
}

// make makes a newborn, which does not return.
//
//go:norace
//go:nosplit
//go:nocheckptr
func (f *forker) make(s *slot) syscall.Errno {
	f.launch.relocate()
	f.clone.flags = unix.CLONE_PARENT | unix.CLONE_INTO_CGROUP | unix.CLONE_PARENT_SETTID
	f.clone.parentTID = uint64(uintptr(unsafe.Pointer(&s.pid)))
	f.clone.cgroup = forkerFiles + fileLeaf
	pid, _, errno := syscall.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&f.clone)), unsafe.Sizeof(f.clone), 0)
	if errno == 0 && pid == 0 {
		f.launch.run(s)
	}
	return errno
}

// files is how many descriptors came, 0 if it is not all of them, or under other numbers.
//
//go:norace
//go:nosplit
//go:nocheckptr
func (f *forker) files() int {
	c := (*unix.Cmsghdr)(unsafe.Pointer(&f.oob))
	if f.msg.Flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 || f.msg.Controllen < unix.SizeofCmsghdr || c.Type != unix.SCM_RIGHTS {
		return 0
	}
	count := (int(c.Len) - f.control) / 4
	if count > filesMost {
		return 0
	}
	for i := range count {
		if *(*int32)(unsafe.Add(unsafe.Pointer(c), f.control+4*i)) != int32(forkerFiles+i) {
			return 0
		}
	}
	return count
}

// read reads a launch that was too long to be sent.
//
//go:norace
//go:nosplit
//go:nocheckptr
func (f *forker) read(from int) (n uintptr, errno syscall.Errno) {
	for n < launchMost {
		more, _, errno := syscall.RawSyscall(unix.SYS_READ, uintptr(from), uintptr(unsafe.Pointer(f.launch))+n, launchMost-n)
		if errno != 0 && errno != unix.EINTR {
			return n, errno
		}
		if errno == 0 && more == 0 {
			break
		}
		if errno == 0 {
			n += more
		}
	}
	return n, 0
}

// refuse ends a forker that does not understand the monitor, which starts another.
//
//go:norace
//go:nosplit
//go:nocheckptr
func (f *forker) refuse() {
	const why = "deputyd: the forker ends: it does not understand the monitor\n"
	syscall.RawSyscall(unix.SYS_WRITE, 2, uintptr(unsafe.Pointer(unsafe.StringData(why))), uintptr(len(why)))
	exit(1)
}

//go:norace
//go:nosplit
//go:nocheckptr
func exit(code uintptr) {
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, code, 0, 0)
	}
}
