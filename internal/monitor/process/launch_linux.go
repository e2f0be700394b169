package process

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A launch is what a newborn is to do, in one piece of memory that means the same in
// another process: a head, all that its system calls point to, and the calls. Whoever is to
// use it says where it lies (relocate); until then what points points by offset from the head.
//
//	head │ strings, groups, argv and environment, … │ calls

// head begins a launch.
type head struct {
	size  uint32 // of the launch, in bytes
	slot  uint32 // where its birth is told
	calls uint32 // offset of the calls, which end it
	words uint32 // offset of argv and environment, each ended by a nil
	count uint32 // how many words that is
	apart uint32 // not 0: the head alone was sent, and the launch lies in the file that came with it
}

// descriptors are the numbers under which the maker of a newborn has them.
type descriptors struct {
	stdin  int // -1: the maker's own
	stdout int
	stderr int
	report int // closed by execve(2), and by the newborn's end
}

// launch writes one.
type launch struct {
	buf   []byte
	calls []call
}

// atCWD is AT_FDCWD as a system call takes it.
const atCWD = ^uintptr(99)

const word = unsafe.Sizeof(uintptr(0))

// launch lists what a newborn does. As root come a keyring of its own, so that it is
// charged to root, and the descriptors; then the user; and what the user may or
// may not reach comes after.
func (s *Spec) launch(slot int, fds descriptors, ours inherited) []byte {
	l := &launch{buf: make([]byte, unsafe.Sizeof(head{}), 1024)}
	l.add(stepSession, unix.SYS_SETSID)
	if ours.root {
		// One session keyring for all tasks would be shared by all users. A kernel without
		// keys, or a container's filter, has none to share.
		l.add(stepSession, unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING).lax = 1
	}
	l.descriptors(fds, s.Input != (File{}) || len(s.Files) > 0)
	if c := s.Credential; c != nil {
		l.add(stepUser, sysSetgroups, uintptr(len(c.Groups)), l.numbers(c.Groups)).relative = 1 << 1
		l.add(stepUser, sysSetresgid, uintptr(c.GID), uintptr(c.GID), uintptr(c.GID))
		l.add(stepUser, sysSetresuid, uintptr(c.UID), uintptr(c.UID), uintptr(c.UID))
	}
	if s.dir() != "/" { // the maker is in / itself
		l.add(stepDirectory, unix.SYS_CHDIR, l.text(s.dir())).relative = 1 << 0
	}
	if s.Input != (File{}) {
		l.open(0, s.Input, 0)
	}
	for i, f := range s.Files {
		l.open(i+1, f, 3+i)
	}
	if core := ours.core; core.Cur != 0 { // its maker's is 0
		l.add(stepExec, unix.SYS_PRLIMIT64, 0, unix.RLIMIT_CORE, l.numbers([]uint64{core.Cur, core.Max}), 0).relative = 1 << 2
	}
	words := l.vectors(s.Argv, s.Env)
	argv, envv := uintptr(words), uintptr(words)+uintptr(len(s.Argv)+1)*word
	l.add(stepExec, unix.SYS_EXECVE, l.text(s.Argv[0]), argv, envv).relative = 1<<0 | 1<<1 | 1<<2
	return l.finish(head{slot: uint32(slot), words: words, count: uint32(len(s.Argv) + len(s.Env) + 2)})
}

func (l *launch) finish(h head) []byte {
	l.align()
	h.calls = uint32(len(l.buf))
	l.buf = append(l.buf, bytesOf(l.calls)...)
	h.size = uint32(len(l.buf))
	copy(l.buf, bytesOf([]head{h}))
	return l.buf
}

// bytesOf shows the memory of a list of what holds no pointers.
func bytesOf[T any](list []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(list))), len(list)*int(unsafe.Sizeof(*new(T))))
}

func (l *launch) add(at step, number uintptr, args ...uintptr) *call {
	c := call{number: number, step: at}
	copy(c.args[:], args)
	l.calls = append(l.calls, c)
	return &l.calls[len(l.calls)-1]
}

func (l *launch) align() {
	for len(l.buf)%8 != 0 {
		l.buf = append(l.buf, 0)
	}
}

// text puts down a string, which holds no NUL, and says where.
func (l *launch) text(s string) uintptr {
	at := len(l.buf)
	l.buf = append(append(l.buf, s...), 0)
	return uintptr(at)
}

func (l *launch) numbers(list any) uintptr {
	l.align()
	at := len(l.buf)
	switch list := list.(type) {
	case []uint32:
		l.buf = append(l.buf, bytesOf(list)...)
	case []uint64:
		l.buf = append(l.buf, bytesOf(list)...)
	}
	return uintptr(at)
}

// vectors puts down lists of strings, each ended by a nil, one behind the other.
func (l *launch) vectors(lists ...[]string) uint32 {
	var words []uintptr
	for _, list := range lists {
		for _, s := range list {
			words = append(words, l.text(s))
		}
		words = append(words, 0)
	}
	l.align()
	at := len(l.buf)
	l.buf = append(l.buf, bytesOf(words)...)
	return uint32(at)
}

// descriptors makes 0, 1 and 2. All others are closed by execve(2), and until then
// nobody can get at them: a newborn is not dumpable. What is declared as files must
// find 3, 4 … free; then report, which is higher, is the only other.
func (l *launch) descriptors(fds descriptors, files bool) {
	for fd, from := range []int{fds.stdin, fds.stdout, fds.stderr} {
		if from >= 0 && from != fd {
			l.add(stepDescriptors, unix.SYS_DUP3, uintptr(from), uintptr(fd), 0)
		}
	}
	if !files {
		return
	}
	const last, report = ^uint32(0), 3 + maxFiles + 1
	if fds.report != report {
		l.add(stepDescriptors, unix.SYS_DUP3, uintptr(fds.report), report, unix.O_CLOEXEC)
	}
	l.add(stepDescriptors, unix.SYS_CLOSE_RANGE, 3, report-1, 0)
	l.add(stepDescriptors, unix.SYS_CLOSE_RANGE, report+1, uintptr(last), 0)
}

// open makes a declared file the descriptor to: beneath its directory, by no link, on the
// same file system, and without waiting for whoever holds the other end of a FIFO. The
// first two numbers that are free are to itself, or for the input 3, and the one behind it.
func (l *launch) open(n int, f File, to int) {
	at, free := stepFile+step(n), uintptr(max(to, 3))
	under := l.how(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
	path := l.how(unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY,
		unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS|unix.RESOLVE_NO_XDEV)
	stat := l.numbers(make([]uint64, unsafe.Sizeof(unix.Statx_t{})/8))
	l.add(at, unix.SYS_OPENAT2, atCWD, l.text(f.Under), under, unsafe.Sizeof(unix.OpenHow{})).relative = 1<<1 | 1<<2
	l.add(at, unix.SYS_OPENAT2, free, l.text(f.Path), path, unsafe.Sizeof(unix.OpenHow{})).relative = 1<<1 | 1<<2
	look := l.add(at, unix.SYS_STATX, free+1, l.text(""), unix.AT_EMPTY_PATH, unix.STATX_TYPE, stat)
	look.relative, look.regular = 1<<1|1<<4, uint32(stat)
	l.add(at, unix.SYS_FCNTL, free+1, unix.F_SETFL, 0)
	l.add(at, unix.SYS_DUP3, free+1, uintptr(to), 0)
	l.add(at, unix.SYS_CLOSE, free+1)
	if to != int(free) {
		l.add(at, unix.SYS_CLOSE, free)
	}
}

// how puts down a struct open_how of openat2(2).
func (l *launch) how(flags, resolve uint64) uintptr {
	return l.numbers([]uint64{flags, 0, resolve})
}

// makerName is what a maker is called, and its newborns until they execute (/proc/PID/comm).
const makerName = "deputy-forker"

// inherited is what newborns have of their maker, beside what CleanSelf made so.
type inherited struct {
	root bool
	core unix.Rlimit // to be given back: see readyToMake
}

func ourInheritance() inherited {
	ours := inherited{root: unix.Geteuid() == 0}
	_ = unix.Getrlimit(unix.RLIMIT_CORE, &ours.core)
	return ours
}

// resetPriorities gives up what the daemon was started with, by hand, by its unit or to
// protect it from the kernel when memory is short, and what a login does not have: all
// that a task starts would have it, too. What takes privilege that we lack stays.
func resetPriorities() {
	var other struct{ priority int32 } // struct sched_param
	_, _, _ = unix.RawSyscall(unix.SYS_SCHED_SETSCHEDULER, 0, schedOther, uintptr(unsafe.Pointer(&other)))
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 0)
	_, _, _ = unix.RawSyscall(unix.SYS_IOPRIO_SET, ioprioProcess, 0, 0) // none: it follows from the priority
	var all unix.CPUSet
	for i := range all {
		all[i] = ^all[i]
	}
	_ = unix.SchedSetaffinity(0, &all) // as many as the cgroup's cpuset has
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("0"), 0)
}

const (
	schedOther    = 0 // SCHED_OTHER
	ioprioProcess = 1 // IOPRIO_WHO_PROCESS
)

// readyToMake makes of this process, and its only thread that matters, what newborns are to
// inherit: it is not dumpable and leaves no core, so that nobody may look into them or trace
// them; the soft limit of open files, which the Go runtime has raised for itself, is that of a login.
func readyToMake() error {
	resetPriorities() // first: afterwards our own files below /proc are root's
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot hide its memory: %w", err)
	}
	name := append([]byte(makerName), 0)
	if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0); err != nil {
		return fmt.Errorf("cannot take its name: %w", err)
	}
	for resource, soft := range map[int]uint64{unix.RLIMIT_NOFILE: softFiles, unix.RLIMIT_CORE: 0} {
		var limit unix.Rlimit
		if err := unix.Getrlimit(resource, &limit); err != nil {
			return fmt.Errorf("cannot find its limits: %w", err)
		}
		limit.Cur = min(soft, limit.Max)
		if err := unix.Prlimit(0, resource, &limit, nil); err != nil {
			return fmt.Errorf("cannot set its limits: %w", err)
		}
	}
	return nil
}
