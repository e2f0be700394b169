package process

import (
	"fmt"
	"os"
	"runtime"
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
//	monitor ── launch and descriptors ──▶ forker ── clone3 ──▶ newborn ── execve ──▶ task
//	   ▲                                                         │
//	   └──────────── end of the report pipe: executed, or ended ─┘

const (
	forkerSocket = 3 // SOCK_SEQPACKET, to the monitor
	forkerSlots  = 4 // the memory file of all slots
	forkerFiles  = 5 // the first that comes with a launch: it has no other open, and so knows their numbers
)

// The descriptors that come with a launch, from forkerFiles on; then, as needed, stdin's and
// that of the file which a long launch lies in.
const (
	fileLeaf = iota
	fileReport
	fileStdout
	fileStderr
	fileStdin
	filesMost = fileStdin + 2
)

// slots are as many births as can be under way at once. The first tells the forker's own PID.
type slots [1024]slot

func mapSlots(fd int) (*slots, error) {
	size := int(unsafe.Sizeof(slots{}))
	mem, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("cannot share memory with the forker: %w", err)
	}
	return (*slots)(unsafe.Pointer(unsafe.SliceData(mem))), nil
}

// ForkerMain is the whole program of `deputyd --role forker`. It readies a forker, which is a child
// of our parent too, and ends.
func ForkerMain() int {
	fmt.Fprintln(os.Stderr, "deputyd: cannot start the forker:", makeForker())
	return 1
}

// makeForker returns only why it could not: what readied a forker ends here.
func makeForker() error {
	runtime.LockOSThread()
	for _, fd := range []int{forkerSocket, forkerSlots} {
		unix.CloseOnExec(fd)
	}
	if err := readyToMake(); err != nil {
		return err
	}
	slots, err := mapSlots(forkerSlots)
	if err != nil {
		return err
	}
	f, err := newForker(slots)
	if err != nil {
		return err
	}
	if f.stack, err = leaveRuntime(unsafe.Pointer(f)); err != nil {
		return err
	}
	if errno := f.split(); errno != 0 {
		return fmt.Errorf("cannot make its process: %w", errno)
	}
	exit(0) // at once: the monitor waits
	return nil
}

// forkerProcess starts one, and gives our end of its socket.
func forkerProcess(argv []string, memory *os.File, slots *slots) (*os.Process, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot reach a forker: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "forker")
	defer theirs.Close()
	ours := os.NewFile(uintptr(pair[0]), "forker")
	err = unix.SetNonblock(pair[0], true)
	if err == nil {
		err = runForker(argv, theirs, memory)
	}
	if err == nil {
		var p *os.Process
		pid, _, _ := slots[0].result()
		if p, err = os.FindProcess(pid); err == nil {
			return p, ours, nil
		}
	}
	ours.Close()
	return nil, nil, fmt.Errorf("cannot start a forker: %w", err)
}

// runForker runs the program that makes one and ends.
func runForker(argv []string, socket, memory *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{
		Dir: "/", Env: []string{"GOMAXPROCS=1"}, Files: []*os.File{null, null, os.Stderr, socket, memory},
		Sys: &syscall.SysProcAttr{Setsid: true}, // a terminal's Ctrl-C is for the monitor alone
	})
	if err != nil {
		return err
	}
	state, err := p.Wait()
	if err == nil && !state.Success() {
		err = fmt.Errorf("it ended with %s", state)
	}
	return err
}
