//go:build darwin || freebsd

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/internal/monitor/clock"
)

const (
	lookEvery  = 50 * time.Millisecond // for the end of what a first process left behind
	stopWithin = time.Second           // for all of a tree to stand still, before it is killed
	startSlack = 2 * time.Second       // how far the start of a process may lie from its BootNS
)

// Host owns all live attempts. Each is a session of its own, whose number is
// the PID of its first process: the system gives it to nobody else while
// anything of the session is there. Its methods may be called from any goroutine.
type Host struct {
	options Options
	null    *os.File // stdin of whoever declares none
	queue   int      // kqueue: the ends of first processes
	polled  chan struct{}
	news    sync.Mutex // orders what is told of an attempt

	mu       sync.Mutex // guards what follows
	closed   bool
	owned    map[string]bool     // leaves started or adopted here and not yet released
	attempts map[string]*attempt // by leaf, until both events are told
	byPID    map[int]*attempt    // those whose first process lives
}

type attempt struct {
	Attempt
	child         bool // we are the parent
	exited, empty bool // these events were told; guarded by Host.news
}

// Open begins to watch.
func Open(o Options) (*Host, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot watch processes: %w", err)
	}
	queue, err := unix.Kqueue()
	if err != nil {
		null.Close()
		return nil, fmt.Errorf("cannot watch processes: %w", err)
	}
	unix.CloseOnExec(queue)
	h := &Host{options: o, null: null, queue: queue, polled: make(chan struct{}),
		owned: map[string]bool{}, attempts: map[string]*attempt{}, byPID: map[int]*attempt{}}
	go h.poll()
	return h, nil
}

// Proof names what the end of a tree rests on.
func (h *Host) Proof() string { return ProofGroup }

// Weakness says why the promise is weaker than it could be.
func (h *Host) Weakness() string {
	return "a task is the processes of one session here: one that calls setsid(2) leaves it, and is neither stopped nor counted; " +
		"and a task that lives when the monitor dies ends with an unknown exit code; Linux with cgroup v2 knows neither"
}

// TasksPath is for cgroups.
func (h *Host) TasksPath() string { return "" }

// Leaves lists the attempts that were begun and not released, for recovery.
func (h *Host) Leaves() ([]string, error) {
	entries, err := os.ReadDir(h.options.StateDir)
	if err != nil {
		return nil, err
	}
	leaves := make([]string, len(entries))
	for i, entry := range entries {
		leaves[i] = entry.Name()
	}
	return leaves, nil
}

func (h *Host) mark(leaf string) string { return filepath.Join(h.options.StateDir, leaf) }

// Start begins an attempt. Its events may come before Start returns. An error
// is one of ErrNotFound, ErrNotExecutable, ErrNotStarted.
func (h *Host) Start(_ context.Context, s Spec) (Attempt, error) {
	defer s.gone()
	a := &attempt{Attempt: Attempt{Leaf: s.Leaf, BootNS: clock.Now()}, child: true}
	if err := h.reserve(s.Leaf); err != nil {
		return Attempt{}, &startError{s.Argv[0], ErrNotStarted, err}
	}
	// Before the birth: where there is no mark, nothing was born.
	err := os.WriteFile(h.mark(s.Leaf), nil, 0o600)
	if err == nil {
		a.PID, err = syscall.ForkExec(s.Argv[0], s.Argv, attributes(s, h.null))
		runtime.KeepAlive(s) // the attributes hold only the numbers of its files
	}
	if err != nil {
		h.Release(s.Leaf)
		return Attempt{}, whyNot(s, err)
	}
	_ = os.WriteFile(h.mark(s.Leaf), fmt.Appendf(nil, "%d %d", a.PID, a.BootNS), 0o600) // without it FindFirst fails
	h.watch(a)
	return a.Attempt, nil
}

func (h *Host) reserve(leaf string) error {
	if err := checkLeaf(leaf); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return errors.New("deputy is ending")
	case h.owned[leaf]:
		return errors.New("the leaf " + leaf + " is in use")
	}
	h.owned[leaf] = true
	return nil
}

// whyNot sorts the errno of a failed start.
func whyNot(s Spec, err error) error {
	e := &startError{s.Argv[0], ErrNotStarted, err}
	info, gone := os.Stat(s.Dir)
	_, noProgram := os.Stat(s.Argv[0])
	switch {
	case s.Dir != "" && (gone != nil || !info.IsDir()):
		e.cause = fmt.Errorf("its directory %s: %w", s.Dir, err)
	case errors.Is(err, unix.ENOENT) && noProgram == nil:
		e.kind, e.cause = ErrNotFound, fmt.Errorf("the interpreter it names: %w", err)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENAMETOOLONG):
		e.kind = ErrNotFound
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOEXEC), errors.Is(err, unix.EISDIR), errors.Is(err, unix.ETXTBSY), errors.Is(err, unix.E2BIG):
		e.kind = ErrNotExecutable
	}
	return e
}

// Adopt watches an attempt of a monitor before us again, in the same boot. A
// PID of 0 stands for an attempt of which only the leaf is known.
func (h *Host) Adopt(old Attempt) error {
	if err := h.reserve(old.Leaf); err != nil {
		return fmt.Errorf("cannot adopt %s: %w", old.Leaf, err)
	}
	h.watch(&attempt{Attempt: old})
	return nil
}

// FindFirst finds the first process of an attempt whose birth its monitor did
// not live to record.
func (h *Host) FindFirst(leaf string) (Attempt, bool) {
	a := Attempt{Leaf: leaf}
	text, err := os.ReadFile(h.mark(leaf))
	if err != nil {
		return a, false
	}
	n, err := fmt.Sscan(string(text), &a.PID, &a.BootNS)
	return a, n == 2 && err == nil
}

// ForeignExit is for a keeper that reaps: here it does not.
func (h *Host) ForeignExit(int, string, unix.WaitStatus) bool { return false }

// Signal sends sig to every process of the leaf, then lets those run that are
// stopped. ErrGone: there was none.
func (h *Host) Signal(leaf string, sig syscall.Signal) error {
	list, err := h.members(leaf)
	if err != nil {
		return err
	}
	return signalAll(list, sig, unix.SIGCONT)
}

// signalAll sends each of sigs to all processes. ErrGone: there are none.
func signalAll(list []member, sigs ...syscall.Signal) error {
	if len(list) == 0 {
		return ErrGone
	}
	var failed error
	for _, sig := range sigs {
		for _, m := range list {
			if err := unix.Kill(m.pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
				failed = fmt.Errorf("cannot send %s to process %d: %w", unix.SignalName(sig), m.pid, err)
			}
		}
	}
	return failed
}

// Kill kills all that lives in the leaf and counts it, stopped, just before. It
// does not wait: Empty follows.
func (h *Host) Kill(leaf string) (killed int, err error) {
	stopped := map[int]bool{}
	list, err := h.members(leaf)
	for end := time.Now().Add(stopWithin); err == nil && time.Now().Before(end); list, err = h.members(leaf) {
		fresh := 0
		for _, m := range list {
			if !stopped[m.pid] && unix.Kill(m.pid, unix.SIGSTOP) == nil {
				stopped[m.pid] = true
				fresh++
			}
		}
		if fresh == 0 {
			break
		}
	}
	if err == nil {
		err = signalAll(list, unix.SIGKILL)
	}
	if errors.Is(err, ErrGone) {
		err = nil
	}
	return len(list), err
}

// Survivors lists what lives in the leaf.
func (h *Host) Survivors(leaf string) []deputy.Survivor {
	var list []deputy.Survivor
	living, _ := h.members(leaf)
	for _, m := range living {
		list = append(list, deputy.Survivor{PID: m.pid, Comm: m.comm, State: m.state})
	}
	return list
}

// Release gives the leaf back after its end, which must be durable.
func (h *Host) Release(leaf string) {
	h.mu.Lock()
	delete(h.owned, leaf)
	if a := h.attempts[leaf]; a != nil {
		delete(h.attempts, leaf)
		delete(h.byPID, a.PID)
	}
	h.mu.Unlock()
	_ = os.Remove(h.mark(leaf)) // what stays is in Leaves
}

// Close ends the watch. With leaveTasks all that lives lives on, to be adopted.
// Without, everything of ours is killed first.
func (h *Host) Close(leaveTasks bool) error {
	var failed error
	if !leaveTasks {
		failed = h.killAll(lookEvery)
	}
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.call()
	<-h.polled
	if !leaveTasks {
		for leaf := range h.owned {
			_ = os.Remove(h.mark(leaf))
		}
	}
	unix.Close(h.queue)
	return errors.Join(failed, h.null.Close())
}

// Orphan is not asked: there is nothing to keep.
func (h *Host) Orphan(string) bool { return false }

// Pidfd gives nothing: there are no pidfds here.
func (h *Host) Pidfd(string) (*os.File, error) { return nil, ErrGone }

// attributes are those of a first process: descriptors 0, 1 and 2 alone, a
// session of its own, the declared environment, directory and user. Signals,
// umask and limits are right because CleanSelf made ours so.
func attributes(s Spec, null *os.File) *syscall.ProcAttr {
	files := make([]uintptr, 3)
	for i, f := range []*os.File{s.Stdin, s.Stdout, s.Stderr} {
		if f == nil {
			f = null
		}
		files[i] = f.Fd()
	}
	attr := &syscall.ProcAttr{Dir: s.Dir, Env: s.Env, Files: files, Sys: &syscall.SysProcAttr{Setsid: true}}
	if attr.Dir == "" {
		attr.Dir = "/"
	}
	if c := s.Credential; c != nil {
		attr.Sys.Credential = &syscall.Credential{Uid: c.UID, Gid: c.GID, Groups: c.Groups}
	}
	return attr
}
