package process

import (
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
)

// The fallback: above each task stands a subreaper (reaper_linux.go), of which
// the Host knows the PID and the finding it leaves. The exchange, over a
// socketpair that lives only while the task starts:
//
//	Host → reaper   order
//	reaper → Host   an answer once its first finding is there
//	Host → reaper   true: begin. A subreaper whose monitor died before begins nothing
//	reaper → Host   an answer once the task has executed, or its start has failed
//
// All are gobs, which keep argv and environment to the byte, as JSON would not.
//
// Later the Host orders by killOrder; all else it sees in /proc.

const (
	killOrder  = unix.SIGUSR2 // to a subreaper: kill your tree
	hurryOrder = unix.SIGUSR1 // and: what outlived the first process is to linger no longer
)

// order is a Spec without its files, which are descriptors 0, 1 and 2.
type order struct {
	StateDir   string
	Leaf       string
	Argv, Env  []string
	Dir        string
	Credential *Credential
	Input      File
	Files      []File
	Linger     time.Duration
}

// answer is of errno 0, or says which step failed and how.
type answer struct {
	Step  step
	Errno syscall.Errno
}

// finding is the file that a subreaper leaves in StateDir: first who it is, at
// the end what it found.
type finding struct {
	PID    int    `json:"pid"`
	BootNS int64  `json:"boot_ns"`
	Ended  bool   `json:"ended"`
	Exited bool   `json:"exited"` // the first process has, and others linger, or did
	Status uint32 `json:"status"` // wait status of the first process, as in wait(2)
	Left   int    `json:"left"`   // processes that outlived it, and were killed
}

const findingSuffix = ".reaper"

func findingPath(stateDir, leaf string) string {
	return filepath.Join(stateDir, leaf+findingSuffix)
}

func readFinding(stateDir, leaf string) (f finding, err error) {
	text, err := os.ReadFile(findingPath(stateDir, leaf))
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal(text, &f)
}

func removeFinding(stateDir, leaf string) error {
	if err := os.Remove(findingPath(stateDir, leaf)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func reaperLeaves(stateDir string) ([]string, error) {
	entries, err := os.ReadDir(stateDir)
	var leaves []string
	for _, e := range entries {
		if leaf, ok := strings.CutSuffix(e.Name(), findingSuffix); ok {
			leaves = append(leaves, leaf)
		}
	}
	return leaves, err
}

// birthReaped starts a subreaper and through it the task. It returns when the
// task's exec has succeeded or failed, or takes too long: see ErrNotExecuted.
func (h *Host) birthReaped(ctx context.Context, a *attempt, s Spec) error {
	defer s.gone()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot reach a subreaper: %w", err)
	}
	_ = unix.SetNonblock(pair[0], true) // so that it knows deadlines
	ours, theirs := os.NewFile(uintptr(pair[0]), "reaper"), pair[1]
	defer ours.Close()
	argv := append(append([]string{}, h.options.Reaper...), s.Leaf)
	files := []uintptr{0, 0, 0, uintptr(theirs)}
	for i, f := range []*os.File{s.Stdin, s.Stdout, s.Stderr} {
		if f == nil {
			f = h.null
		}
		files[i] = f.Fd()
	}
	// The subreaper is of our own user: nobody else can hold this up.
	a.PID, err = syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{Dir: "/", Files: files, Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &a.pidfd}})
	runtime.KeepAlive(s)
	unix.Close(theirs)
	if err != nil {
		return fmt.Errorf("cannot start the subreaper %s: %w", argv[0], err)
	}
	stop := context.AfterFunc(ctx, func() { _ = ours.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = ours.SetDeadline(time.Now().Add(BornWithin))
	begun, answer, err := instruct(ours, order{h.options.StateDir, s.Leaf, s.Argv, s.Env, s.dir(), s.Credential, s.Input, s.Files, s.Linger})
	if begun && errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrNotExecuted
	}
	if err == nil && answer.Errno == 0 {
		return nil
	}
	if err != nil { // it ends by itself when it started nothing
		_ = unix.PidfdSendSignal(a.pidfd, unix.SIGKILL, nil, 0)
	}
	h.take(a.PID)
	unix.Close(a.pidfd)
	if err != nil && !begun { // it found no room for a thread, memory or a descriptor of its own
		_ = removeFinding(h.options.StateDir, s.Leaf)
		return fmt.Errorf("the subreaper ended before it began the task: %w", unix.EAGAIN)
	}
	if err != nil {
		return fmt.Errorf("cannot reach the subreaper: %w", err)
	}
	return &birthError{answer.Step, answer.Errno}
}

// instruct gives the order, has it begun once the finding is there, and waits
// for what came of it. Nothing was started unless it may have begun.
func instruct(reaper *os.File, o order) (begun bool, a answer, err error) {
	said, say := gob.NewDecoder(reaper), gob.NewEncoder(reaper)
	for _, message := range []any{o, true} {
		begun = message == true
		if err = say.Encode(message); err == nil {
			err = said.Decode(&a)
		}
		if err != nil || a.Errno != 0 {
			break
		}
	}
	return begun, a, err
}

// adoptReaped watches a subreaper again, or takes up what it left.
func (h *Host) adoptReaped(a *attempt) error {
	found, err := readFinding(h.options.StateDir, a.Leaf)
	if err == nil && a.PID == 0 { // the monitor died before it could journal the start
		a.PID, a.BootNS = found.PID, found.BootNS
	}
	if pidfd, err := unix.PidfdOpen(a.PID, 0); err == nil {
		if a.pidfd = pidfd; !bornAt(a.Attempt) {
			unix.Close(pidfd)
			a.pidfd = -1
		}
	}
	a.child = a.pidfd >= 0 && h.isChild(a.Attempt)
	gone := a.pidfd < 0 // from the watch on the poller may end it at any moment
	if err := h.watchAttempt(a); err != nil {
		unix.Close(a.pidfd)
		h.unreserve(a.Leaf)
		return fmt.Errorf("cannot adopt %s: %w", a.Leaf, err)
	}
	if gone {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.post(func(p *poller) { p.reaperEnded(a) })
	}
	return nil
}

// reaperEnded: a subreaper ends when no child is left, so both events are due.
func (p *poller) reaperEnded(a *attempt) {
	exit, left := p.foundBy(a)
	p.ended(a, exit, left)
}

// foundBy reads what a subreaper that has ended found out.
func (h *Host) foundBy(a *attempt) (exit deputy.Exit, left int) {
	found, err := readFinding(h.options.StateDir, a.Leaf)
	switch {
	case err != nil:
		return deputy.Exit{Unknown: "its subreaper left no finding: " + err.Error()}, 0
	case !found.Ended:
		return deputy.Exit{Unknown: "its subreaper was killed, and with it the knowledge of what it started"}, 0
	}
	return exitOf(unix.WaitStatus(found.Status)), found.Left
}

// reaperOf gives the PID and a pidfd of a live attempt's subreaper. The caller
// closes the pidfd.
func (h *Host) reaperOf(leaf string) (pid, pidfd int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.attempts[leaf]
	if a == nil || a.pidfd < 0 {
		return 0, -1, ErrGone
	}
	pidfd, err = unix.FcntlInt(uintptr(a.pidfd), unix.F_DUPFD_CLOEXEC, 3)
	return a.PID, pidfd, err
}

// Hurry ends at once what outlived its first process and lingers below a subreaper,
// which counts it, and says whether there was any. With cgroups the first process's
// end is told as it happens, and the caller needs not ask.
func (h *Host) Hurry(leaf string) bool {
	if h.tree != nil {
		return false
	}
	found, err := readFinding(h.options.StateDir, leaf)
	if err != nil || !found.Exited {
		return false
	}
	_, pidfd, err := h.reaperOf(leaf)
	if err != nil { // the last of it has ended just now
		return true
	}
	defer unix.Close(pidfd)
	_ = unix.PidfdSendSignal(pidfd, hurryOrder, nil, 0) // the same
	return true
}

func (h *Host) signalReaped(leaf string, sig unix.Signal) error {
	pid, pidfd, err := h.reaperOf(leaf)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd) // while it is open, pid is no other's
	tree := stopTree(pid)
	if len(tree) == 0 {
		return ErrGone
	}
	for _, each := range []unix.Signal{sig, unix.SIGCONT} {
		for _, s := range tree {
			s.send(each)
		}
	}
	return nil
}

func (h *Host) killReaped(leaf string) (int, error) {
	pid, pidfd, err := h.reaperOf(leaf)
	if errors.Is(err, ErrGone) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	defer unix.Close(pidfd)
	tree := stopTree(pid)
	killed := len(tree)
	if err := unix.PidfdSendSignal(pidfd, killOrder, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return killed, fmt.Errorf("cannot order the subreaper to kill: %w", err)
	}
	for _, s := range tree { // a first process that hangs before it executes holds up the subreaper, too
		s.send(unix.SIGKILL)
	}
	return killed, nil
}

func (h *Host) survivorsReaped(leaf string) []deputy.Survivor {
	pid, pidfd, err := h.reaperOf(leaf)
	if err != nil {
		return nil
	}
	defer unix.Close(pidfd)
	var pids []int
	for _, s := range descendants(pid) {
		pids = append(pids, s.pid)
	}
	return survivors(pids)
}
