package process

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// launch is a first process as its maker makes it: the calls of a newborn, and
// all that they point to. A launch must be on the heap (newLaunch): a stack may
// move, and the calls hold bare addresses.
type launch struct {
	argv, envv []*byte // each ended by a nil
	dir        *byte
	credential *Credential // nil: as the maker; its groups stand in groups
	groups     []uint32
	input      file   // becomes descriptor 0; under nil: none
	files      []file // become 3, 4, …
	stdin      int    // descriptors of the maker's; stdin -1: its own
	stdout     int
	stderr     int
	report     int // closed by execve(2), and by the newborn's end

	calls []call
	keep  []unsafe.Pointer // what calls point to
	how   [2]unix.OpenHow
	empty [1]byte
	name  [16]byte   // newbornName
	own   Credential // what credential points to
	stats [maxFiles + 1]unix.Statx_t
	clone cloneArgs
}

// file is a File as a newborn opens it.
type file struct {
	under, path *byte
	stat        *unix.Statx_t
}

// makerName is what a maker is called, and its newborns until they execute (/proc/PID/comm).
const makerName = "deputy-forker"

// readyToMake makes of this process, and its only thread that matters, what newborns are to
// inherit: it is not dumpable, so that nobody may look into them or trace them; the soft
// limit of open files, which the Go runtime has raised for itself, is that of a login.
func readyToMake() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot hide its memory: %w", err)
	}
	name := append([]byte(makerName), 0)
	if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0); err != nil {
		return fmt.Errorf("cannot take its name: %w", err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("cannot find the limit of open files: %w", err)
	}
	limit.Cur = min(softFiles, limit.Max)
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		return fmt.Errorf("cannot set the limit of open files: %w", err)
	}
	return nil
}

// atCWD is AT_FDCWD as a system call takes it.
const atCWD = ^uintptr(99)

// newLaunch makes one that lives on the heap.
//
//go:noinline
func newLaunch() *launch {
	l := &launch{stdin: -1}
	// Beneath the directory, by no link, on the same file system, and without
	// waiting for whoever holds the other end of a FIFO.
	l.how[0] = unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	l.how[1] = unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV}
	return l
}

// pointer gives the address of what must stay where it is while calls are made.
func (l *launch) pointer(p unsafe.Pointer) uintptr {
	l.keep = append(l.keep, p)
	return uintptr(p)
}

func (l *launch) add(at step, number uintptr, args ...uintptr) *call {
	c := call{number: number, step: at}
	copy(c.args[:], args)
	l.calls = append(l.calls, c)
	return &l.calls[len(l.calls)-1]
}

// compile lists the calls. As root come a keyring of its own, so that it is
// charged to root, and the descriptors; then the user; and what the user may or
// may not reach comes after.
func (l *launch) compile() {
	l.calls, l.keep = l.calls[:0], l.keep[:0]
	l.add(stepSession, unix.SYS_SETSID)
	if syscall.Geteuid() == 0 {
		// One session keyring for all tasks would be shared by all users. A kernel without
		// keys, or a container's filter, has none to share.
		l.add(stepSession, unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING).lax = true
	}
	l.descriptors()
	if c := l.credential; c != nil {
		l.add(stepUser, sysSetgroups, uintptr(len(l.groups)), l.pointer(unsafe.Pointer(unsafe.SliceData(l.groups))))
		l.add(stepUser, sysSetresgid, uintptr(c.GID), uintptr(c.GID), uintptr(c.GID))
		l.add(stepUser, sysSetresuid, uintptr(c.UID), uintptr(c.UID), uintptr(c.UID))
	}
	if dir := unsafe.Slice(l.dir, 2); dir[0] != '/' || dir[1] != 0 { // the maker is in / itself
		l.add(stepDirectory, unix.SYS_CHDIR, l.pointer(unsafe.Pointer(l.dir)))
	}
	if l.input.under != nil {
		l.open(0, l.input, 0)
	}
	for i, f := range l.files {
		l.open(i+1, f, 3+i)
	}
	l.add(stepExec, unix.SYS_EXECVE, l.pointer(unsafe.Pointer(l.argv[0])), l.pointer(unsafe.Pointer(&l.argv[0])), l.pointer(unsafe.Pointer(&l.envv[0])))
}

// descriptors makes 0, 1 and 2. All others are closed by execve(2), and until then
// nobody can get at them: a newborn is not dumpable. What is declared as files must
// find 3, 4 … free; then report, which is higher, is the only other.
func (l *launch) descriptors() {
	for fd, from := range []int{l.stdin, l.stdout, l.stderr} {
		if from >= 0 && from != fd {
			l.add(stepDescriptors, unix.SYS_DUP3, uintptr(from), uintptr(fd), 0)
		}
	}
	if l.input.under == nil && len(l.files) == 0 {
		return
	}
	const last, report = ^uint32(0), 3 + maxFiles + 1
	if l.report != report {
		l.add(stepDescriptors, unix.SYS_DUP3, uintptr(l.report), report, unix.O_CLOEXEC)
	}
	l.add(stepDescriptors, unix.SYS_CLOSE_RANGE, 3, report-1, 0)
	l.add(stepDescriptors, unix.SYS_CLOSE_RANGE, report+1, uintptr(last), 0)
}

// open makes a declared file the descriptor to. The first two that are free are
// to itself, or for the input 3, and the one behind it.
func (l *launch) open(n int, f file, to int) {
	at, free := stepFile+step(n), uintptr(max(to, 3))
	l.add(at, unix.SYS_OPENAT2, atCWD, l.pointer(unsafe.Pointer(f.under)), l.pointer(unsafe.Pointer(&l.how[0])), unsafe.Sizeof(l.how[0]))
	l.add(at, unix.SYS_OPENAT2, free, l.pointer(unsafe.Pointer(f.path)), l.pointer(unsafe.Pointer(&l.how[1])), unsafe.Sizeof(l.how[1]))
	l.add(at, unix.SYS_STATX, free+1, l.pointer(unsafe.Pointer(&l.empty[0])), unix.AT_EMPTY_PATH, unix.STATX_TYPE, l.pointer(unsafe.Pointer(f.stat))).regular = f.stat
	l.add(at, unix.SYS_FCNTL, free+1, unix.F_SETFL, 0)
	l.add(at, unix.SYS_DUP3, free+1, uintptr(to), 0)
	l.add(at, unix.SYS_CLOSE, free+1)
	if to != int(free) {
		l.add(at, unix.SYS_CLOSE, free)
	}
}
