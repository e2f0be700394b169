package process

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The forker makes each first process of a task, as a child of the monitor's
// (CLONE_PARENT), in its leaf. It is a process of its own because a fork copies
// what its maker has: of the monitor a table of many descriptors, and memory that
// holds keys. It opens nothing that belongs to a task or a caller, waits for
// nobody but the monitor, and ends when that does. What it does is told in memory
// that it shares with the monitor: see slot.
//
//	monitor ── order and descriptors ──▶ forker ── clone3 ──▶ newborn ── execve ──▶ task
//	   ▲                                                        │
//	   └──────────── end of the report pipe: executed, or ended ┘

const (
	forkerSocket = 3 // SOCK_SEQPACKET, to the monitor
	forkerSlots  = 4 // the memory file of all slots
)

// slots are as many births as can be under way at once.
type slots [1024]slot

func mapSlots(fd int) (*slots, error) {
	size := int(unsafe.Sizeof(slots{}))
	mem, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("cannot share memory with the forker: %w", err)
	}
	return (*slots)(unsafe.Pointer(unsafe.SliceData(mem))), nil
}

// ForkerMain is the whole program of `deputyd --role forker`.
func ForkerMain() int {
	f, err := newForker()
	if err == nil {
		err = f.serve()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "deputyd: the forker ends:", err)
		return 1
	}
	return 0
}

type forker struct {
	slots *slots
	l     *launch
	buf   []byte
	oob   []byte
	fds   []int
}

func newForker() (*forker, error) {
	runtime.LockOSThread()
	for _, fd := range []int{forkerSocket, forkerSlots} {
		unix.CloseOnExec(fd)
	}
	if err := readyToMake(); err != nil {
		return nil, err
	}
	slots, err := mapSlots(forkerSlots)
	if err != nil {
		return nil, err
	}
	f := &forker{slots: slots, l: newLaunch(), buf: make([]byte, orderMost), oob: make([]byte, unix.CmsgSpace(orderFiles*4))}
	debug.FreeOSMemory()
	return f, keepFromNewborns(unsafe.Pointer(f.l), unsafe.Pointer(&f.buf[0]))
}

// serve does what it is ordered to, until the monitor is gone.
func (f *forker) serve() error {
	for {
		n, oobn, flags, _, err := unix.Recvmsg(forkerSocket, f.buf, f.oob, unix.MSG_CMSG_CLOEXEC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("cannot hear the monitor: %w", err)
		case n == 0:
			return nil
		case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
			return errors.New("cannot hear the monitor: a message was cut")
		}
		if err := f.takeFiles(oobn); err != nil {
			return err
		}
		err = f.make(f.buf[:n])
		clear(f.buf[:n])
		for _, fd := range f.fds {
			_ = unix.Close(fd)
		}
		if err != nil {
			return err
		}
	}
}

func (f *forker) takeFiles(n int) error {
	f.fds = f.fds[:0]
	// The one header is read in place: nothing is left for the garbage collector.
	head := unix.CmsgLen(0)
	if n < head {
		return errors.New("cannot hear the monitor: a message without descriptors")
	}
	end := int((*unix.Cmsghdr)(unsafe.Pointer(&f.oob[0])).Len) // n counts what fills it up, too
	for at := head; at+4 <= end && len(f.fds) < orderFiles; at += 4 {
		f.fds = append(f.fds, int(*(*int32)(unsafe.Pointer(&f.oob[at]))))
	}
	if len(f.fds) < 4 {
		return errors.New("cannot hear the monitor: too few descriptors")
	}
	return nil
}

// make makes one newborn. Whether it could is told in its slot.
func (f *forker) make(order []byte) error {
	l := f.l
	l.stdin, l.stdout, l.stderr, l.report = -1, f.fds[1], f.fds[2], f.fds[3]
	if order[0]&orderStdin != 0 {
		l.stdin = f.fds[4]
	}
	if order[0]&orderElsewhere != 0 {
		long, err := readOrder(f.fds[len(f.fds)-1])
		if err != nil {
			return err
		}
		defer clear(long)
		order = long
	}
	number, err := l.decode(order)
	if err != nil {
		return err
	}
	if number >= len(f.slots) {
		return errors.New("cannot read an order: it names no slot")
	}
	l.compile()
	if errno := l.bornAsSibling(f.fds[0], &f.slots[number]); errno != 0 {
		f.slots[number].fail(stepClone, errno)
	}
	runtime.KeepAlive(order)
	return nil
}

func readOrder(fd int) ([]byte, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return nil, fmt.Errorf("cannot read an order: %w", err)
	}
	buf := make([]byte, stat.Size)
	n, err := unix.Pread(fd, buf, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read an order: %w", err)
	}
	if n != len(buf) {
		return nil, fmt.Errorf("cannot read an order: %d bytes of %d", n, len(buf))
	}
	return buf, nil
}

// forkerProcess starts one, and gives our end of its socket.
func forkerProcess(argv []string, memory *os.File) (*os.Process, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot reach a forker: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "forker")
	defer theirs.Close()
	if err := unix.SetNonblock(pair[0], true); err != nil {
		unix.Close(pair[0])
		return nil, nil, fmt.Errorf("cannot reach a forker: %w", err)
	}
	ours := os.NewFile(uintptr(pair[0]), "forker")
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err == nil {
		defer null.Close()
		var p *os.Process
		if p, err = os.StartProcess(argv[0], argv, &os.ProcAttr{
			Dir: "/", Env: []string{"GOMAXPROCS=1"}, Files: []*os.File{null, null, os.Stderr, theirs, memory},
			Sys: &syscall.SysProcAttr{Setsid: true}, // a terminal's Ctrl-C is for the monitor alone
		}); err == nil {
			return p, ours, nil
		}
	}
	ours.Close()
	return nil, nil, fmt.Errorf("cannot start a forker: %w", err)
}
