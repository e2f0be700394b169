package process

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestMain makes the test binary its own cast: with a first argument that
// starts with '@' it plays that part and tests nothing.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || !strings.HasPrefix(os.Args[1], "@") {
		os.Exit(m.Run())
	}
	args := os.Args[2:]
	switch os.Args[1] {
	case "@forker":
		os.Exit(ForkerMain())
	case "@reaper":
		os.Exit(ReaperMain(args))
	case "@odd":
		odd(args)
	case "@cleaned":
		cleaned(args)
	case "@tree":
		tree(args[0], args[1])
	case "@storm":
		storm(args[0])
	}
	os.Exit(99)
}

// tree is n processes, made by setsid and double fork: each is in a session of
// its own and has lost its parent. how: "term" obeys SIGTERM; the others ignore
// it, and "stop" also stops them all, "freeze" freezes its own cgroup.
func tree(n, how string) {
	count, _ := strconv.Atoi(n)
	if how != "term" {
		signal.Ignore(unix.SIGTERM)
	} else {
		defaultAction(uintptr(unix.SIGTERM))
	}
	for range count - 1 {
		forkTwice(how == "stop")
	}
	fmt.Println("ready")
	if how == "freeze" {
		path, _ := cgroupOf("self")
		mount, _ := findMount()
		if os.WriteFile(mount+path+"/cgroup.freeze", []byte("1"), 0) != nil {
			os.Exit(98)
		}
	}
	if how == "stop" {
		_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
	}
	idle()
}

// storm keeps forking: each of n runners forks the next and exits at once, so
// no list of pids stays true.
func storm(n string) {
	count, _ := strconv.Atoi(n)
	for range count {
		forkRunner()
	}
	fmt.Println("ready")
	idle()
}

// What is forked below has a copy of our memory and no Go runtime: it may only
// make raw system calls.

var actionDefault [8]uint64 // a struct sigaction of zeros

//go:norace
//go:nosplit
func defaultAction(sig uintptr) {
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&actionDefault)), 0, 8, 0, 0)
}

//go:norace
//go:nosplit
func rawFork() uintptr {
	pid, _, _ := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	return pid
}

//go:norace
//go:nosplit
func forkTwice(stop bool) {
	if pid := rawFork(); pid != 0 {
		syscall.RawSyscall6(syscall.SYS_WAIT4, pid, 0, 0, 0, 0, 0)
		return
	}
	syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0)
	if rawFork() != 0 {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
	}
	if stop {
		self, _, _ := syscall.RawSyscall(syscall.SYS_GETPID, 0, 0, 0)
		syscall.RawSyscall(syscall.SYS_KILL, self, uintptr(syscall.SIGSTOP), 0)
	}
	for {
		syscall.RawSyscall6(syscall.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

//go:norace
//go:nosplit
func forkRunner() {
	if rawFork() != 0 {
		return
	}
	syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0)
	for {
		if rawFork() != 0 {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
}

// rig is a Host with its events collected.
type rig struct {
	*Host
	t      testing.TB
	dir    string
	mu     sync.Mutex
	events map[key][]Event
}

type key struct {
	leaf string
	kind Kind
}

// proofs are the ways in which a Host can hold a tree on this machine.
func proofs() []string {
	if os.Geteuid() != 0 {
		return []string{ProofSubreaper}
	}
	return []string{ProofCgroup, ProofSubreaper}
}

func newRig(t testing.TB, proof string) *rig {
	t.Helper()
	r := openRig(t, proof, t.TempDir())
	t.Cleanup(func() {
		if err := r.Close(false); err != nil {
			t.Errorf("Close: %v", err)
		}
		noTrace(t, r.Host)
	})
	return r
}

func openRig(t testing.TB, proof, dir string) *rig { return openRigWith(t, proof, dir, Options{}) }

func openRigWith(t testing.TB, proof, dir string, o Options) *rig {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// As CleanSelf does for deputyd, and a subreaper does for its task.
	unix.Umask(0o022)
	r := &rig{t: t, dir: dir, events: map[key][]Event{}}
	o.Instance, o.Reaper, o.StateDir = fmt.Sprint("test", os.Getpid()), []string{self, "@reaper"}, dir
	o.Forker = []string{self, "@forker"}
	o.Events, o.ForceFallback = r.event, proof == ProofSubreaper
	r.Host, err = Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Proof() != proof {
		_ = r.Close(false) // what it holds is limited in number: fs.inotify.max_user_instances
		t.Fatalf("Proof is %s, not %s: %s", r.Proof(), proof, r.Weakness())
	}
	return r
}

func (r *rig) event(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := key{e.Leaf, e.Kind}
	r.events[at] = append(r.events[at], e)
}

// of gives the events of one kind that a leaf had so far.
func (r *rig) of(leaf string, kind Kind) []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[key{leaf, kind}]
}

func (r *rig) wait(leaf string, kind Kind) Event {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Microsecond) {
		if found := r.of(leaf, kind); len(found) > 0 {
			return found[0]
		}
		if time.Now().After(end) {
			r.t.Fatalf("no event %d of %s within a minute; it has %v", kind, leaf, r.Survivors(leaf))
		}
	}
}

// start begins an attempt of argv whose stdout is the file that it gives.
func (r *rig) start(leaf string, argv ...string) (Attempt, string) {
	r.t.Helper()
	out, err := os.Create(filepath.Join(r.dir, leaf+".out"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer out.Close()
	a, err := r.Start(context.Background(), Spec{Leaf: leaf, Argv: argv, Stdout: out, Stderr: os.Stderr})
	if err != nil {
		r.t.Fatal(err)
	}
	return a, out.Name()
}

// play starts this binary in a part and waits until it says that it is ready.
func (r *rig) play(leaf string, args ...string) Attempt {
	r.t.Helper()
	self, _ := os.Executable()
	a, out := r.start(leaf, append([]string{self}, args...)...)
	until(r.t, leaf+" is ready", func() bool {
		text, _ := os.ReadFile(out)
		return bytes.Contains(text, []byte("ready"))
	})
	return a
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// living finds by its command line, independent of cgroups and parents, what
// lives of the part that was started with word among its arguments.
func living(word string) (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		text, _ := os.ReadFile(dir + "/cmdline")
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if s, err := readStat(pid); err == nil && !s.dead() && pid != os.Getpid() &&
			strings.Contains(string(text), "\x00"+word+"\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// noTrace: no cgroup, no zombie, no descriptor of a closed Host is left.
func noTrace(t testing.TB, h *Host) {
	t.Helper()
	if h.tree != nil && h.tree.made() && isDir(h.tree.dir()) {
		t.Errorf("the cgroup %s is left", h.tree.dir())
	}
	for _, pid := range children(os.Getpid()) {
		if s, err := readStat(pid); err == nil && s.dead() {
			t.Errorf("the zombie %d (%s) is left", pid, s.comm)
		}
	}
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		if target, _ := os.Readlink(fd); strings.Contains(target, "pidfd") || strings.Contains(target, "inotify") {
			t.Errorf("the descriptor %s of %s is left", fd, target)
		}
	}
}

func pointer[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

// idle waits to be killed; an empty select would be taken for a deadlock.
func idle() {
	for {
		time.Sleep(time.Hour)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
