package process

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/windows"

	"deputy"
	"deputy/internal/monitor/clock"
)

// On Windows each attempt lives in a Job Object of its own, with a name by which
// the next monitor finds it. The keeper holds a second handle of the job, which
// keeps the name, and of the first process, which keeps its exit code.

// Host owns all live attempts. Its methods may be called from any goroutine.
type Host struct {
	options Options
	port    windows.Handle // completion port: news of the jobs
	polled  chan struct{}  // closed when the poller has ended

	mu       sync.Mutex // guards the rest
	closed   bool
	lastKey  uintptr
	owned    map[string]bool      // leaves started or adopted here and not yet released
	attempts map[string]*attempt  // by leaf, until both events are told
	byKey    map[uintptr]*attempt // by the key under which the port tells of them
	held     map[string]Attempt   // what the keeper held when we began, not yet adopted
}

// attempt is a live one.
type attempt struct {
	Attempt
	key     uintptr
	job     job            // 0: it is gone
	process windows.Handle // of the first process; 0: it is gone

	exited, empty bool      // these events were told
	lingers       time.Time // since when only console hosts live
}

// Open begins to watch.
func Open(o Options) (*Host, error) {
	port, err := windows.CreateIoCompletionPort(windows.InvalidHandle, 0, 0, 1)
	if err != nil {
		return nil, fmt.Errorf("cannot watch processes: %w", err)
	}
	h := &Host{options: o, port: port, polled: make(chan struct{}), owned: map[string]bool{},
		attempts: map[string]*attempt{}, byKey: map[uintptr]*attempt{}, held: map[string]Attempt{}}
	for _, a := range o.Held {
		h.held[a.Leaf] = a
	}
	go h.poll()
	return h, nil
}

// Proof names what the end of a tree rests on.
func (h *Host) Proof() string { return ProofJob }

// Weakness is "": a Job Object holds all that a task starts.
func (h *Host) Weakness() string { return "" }

// TasksPath is "": there are no cgroups.
func (h *Host) TasksPath() string { return "" }

// Leaves lists the leaves that the keeper held for the monitor before us.
func (h *Host) Leaves() ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var leaves []string
	for leaf := range h.held {
		leaves = append(leaves, leaf)
	}
	return leaves, nil
}

// FindFirst finds the first process of an attempt whose birth its monitor did
// not live to record.
func (h *Host) FindFirst(leaf string) (Attempt, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a, ok := h.held[leaf]
	return a, ok
}

// ForeignExit is for systems where the keeper takes exit codes: here each
// monitor reads them itself, from the process that the keeper's handle keeps.
func (h *Host) ForeignExit(int, string, syscall.WaitStatus) bool { return false }

// jobName is where the next monitor looks for a leaf.
func (h *Host) jobName(leaf string) string {
	return `Global\deputy-` + h.options.Instance + "-" + leaf
}

// Adopt watches an attempt of a monitor before us again, in the same boot. Where
// its first process is gone, handle and all, its exit is unknown.
func (h *Host) Adopt(old Attempt) error {
	if err := h.reserve(old.Leaf); err != nil {
		return fmt.Errorf("cannot adopt %s: %w", old.Leaf, err)
	}
	a := &attempt{Attempt: old}
	var err error
	if a.job, err = openJob(h.jobName(old.Leaf)); err != nil && !errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		h.unreserve(old.Leaf)
		return fmt.Errorf("cannot adopt %s: cannot open its job: %w", old.Leaf, err)
	}
	a.process = findAgain(old)
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.held, old.Leaf)
	h.watch(a)
	return nil
}

// findAgain opens an attempt's first process, dead or alive; 0: it is gone. The
// number alone proves nothing: it must have been born when the attempt was.
func findAgain(a Attempt) windows.Handle {
	if a.PID <= 0 {
		return 0
	}
	p, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION|windows.SYNCHRONIZE, false, uint32(a.PID))
	if err != nil {
		return 0
	}
	if born, err := bornNS(p); err != nil || max(born-a.BootNS, a.BootNS-born) > int64(startSlack) {
		windows.CloseHandle(p)
		return 0
	}
	return p
}

// bornNS is when a process was born, on the boot clock in ns. Windows tells it
// on the wall clock, which may have been set since.
func bornNS(p windows.Handle) (int64, error) {
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(p, &created, &exited, &kernel, &user); err != nil {
		return 0, err
	}
	return clock.Now() - (time.Now().UnixNano() - created.Nanoseconds()), nil
}

// watch begins to look at an attempt. The caller holds mu.
func (h *Host) watch(a *attempt) {
	if a.key == 0 {
		h.lastKey++
		a.key = h.lastKey
	}
	h.attempts[a.Leaf], h.byKey[a.key] = a, a
	h.wake(a.key)
}

// wake has the poller look at an attempt; 0: at whether we are closed.
func (h *Host) wake(key uintptr) {
	_ = windows.PostQueuedCompletionStatus(h.port, 0, key, nil)
}

// reserve makes a leaf ours. None is ever used twice: its name is what finds an
// attempt again.
func (h *Host) reserve(leaf string) error {
	if err := checkLeaf(leaf); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return errors.New("deputy is ending")
	}
	if h.owned[leaf] {
		return errors.New("the leaf " + leaf + " is in use")
	}
	h.owned[leaf] = true
	return nil
}

func (h *Host) unreserve(leaf string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.owned, leaf)
}

// Release gives the leaf back after its end, which must be durable: until then
// the keeper's handles keep the exit code for the next monitor.
func (h *Host) Release(leaf string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.owned, leaf)
	delete(h.held, leaf)
	if a := h.attempts[leaf]; a != nil {
		h.forget(a)
	}
	if h.options.Holder != nil {
		_ = h.options.Holder.Forget(leaf) // it fails only when the keeper is gone, and with it what it held
	}
}

// forget ends the watch of an attempt. The caller holds mu.
func (h *Host) forget(a *attempt) {
	if a.job != 0 {
		a.job.close()
	}
	if a.process != 0 {
		windows.CloseHandle(a.process)
	}
	a.job, a.process = 0, 0
	delete(h.byKey, a.key)
	if h.attempts[a.Leaf] == a {
		delete(h.attempts, a.Leaf)
	}
}

// Close ends the watch. With leaveTasks all that lives lives on, to be adopted.
// Without, everything of ours is killed, and the keeper holds nothing of it any
// more. No other method may be called meanwhile or after.
func (h *Host) Close(leaveTasks bool) error {
	var failed error
	if !leaveTasks {
		failed = h.killAll(2 * time.Millisecond)
	}
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.wake(0)
	<-h.polled
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.attempts {
		h.forget(a)
	}
	if !leaveTasks && h.options.Holder != nil {
		for leaf := range h.owned {
			_ = h.options.Holder.Forget(leaf) // as in Release
		}
	}
	return errors.Join(failed, os.NewSyscallError("CloseHandle", windows.CloseHandle(h.port)))
}

// Kill kills all that lives in the leaf and counts it just before. It does not
// wait: Empty follows. Nothing can be born in the leaf any more.
func (h *Host) Kill(leaf string) (killed int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.attempts[leaf]
	if a == nil || a.job == 0 {
		return 0, nil
	}
	defer h.wake(a.key)
	return a.job.kill()
}

// Survivors lists what lives in the leaf.
func (h *Host) Survivors(leaf string) []deputy.Survivor {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.attempts[leaf]
	if a == nil || a.job == 0 {
		return nil
	}
	living, _ := a.job.living() // what cannot be listed cannot be named
	return living
}

// Orphan is not asked: there is nothing to keep.
func (h *Host) Orphan(string) bool { return false }

// Pidfd gives nothing: there are no pidfds here.
func (h *Host) Pidfd(string) (*os.File, error) { return nil, ErrGone }
