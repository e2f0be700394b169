package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
)

// Host owns all live attempts. Its methods may be called from any goroutine.
type Host struct {
	options  Options
	tree     *hierarchy // nil: the fallback
	weakness string
	null     *os.File // stdin of whoever declares none
	births   *births  // for cgroups alone

	epoll, inotify, wake int
	polled               chan struct{}  // closed when the poller has ended
	removals             chan string    // leaves for the janitor: rmdir is off everyone's way
	busy                 sync.WaitGroup // births, adoptions and releases under way, for which Close waits
	removed              chan struct{}  // closed when the janitor has ended

	mu       sync.Mutex // guards the rest
	closed   bool
	owned    map[string]bool     // leaves started or adopted here and not yet released
	attempts map[string]*attempt // by leaf, until both events are told
	byFD     map[int]*attempt    // by pidfd
	foreign  map[int]*attempt    // by PID: adopted ones whose exit is not known
	zombies  map[string]int      // by leaf: PIDs of children whose status was read and not taken
	hidden   map[int]bool        // children that have ended and cannot be taken yet: a tracer has them
	posted   []func(*poller)     // work for the poller
}

// attempt is a live one. Only the poller touches what stands after pidfd.
type attempt struct {
	Attempt
	child bool // we are the parent
	pidfd int  // -1: none (any more); guarded by Host.mu

	watch         int       // inotify watch of its cgroup.events; -1: none
	exited, empty bool      // these events were told
	deadline      time.Time // when a status that nobody told becomes unknown; zero: never
}

// Open places us and the keeper in the cgroup tree and begins to watch. Where
// the cgroup tree cannot be used it falls back; Weakness then says why.
func Open(o Options) (*Host, error) {
	h := &Host{options: o, epoll: -1, inotify: -1, wake: -1,
		polled: make(chan struct{}), removed: make(chan struct{}), removals: make(chan string, 1024),
		owned: map[string]bool{}, attempts: map[string]*attempt{}, byFD: map[int]*attempt{}, foreign: map[int]*attempt{}, zombies: map[string]int{}, hidden: map[int]bool{}}
	if err := h.openDescriptors(); err != nil {
		h.closeDescriptors()
		return nil, fmt.Errorf("cannot watch processes: %w", err)
	}
	cause := errors.New("it was asked for")
	if !o.ForceFallback {
		if h.births, cause = newBirths(o.Forker, h.null); cause == nil {
			h.tree, cause = openHierarchy(o.Instance, h.ourPIDs(), h.births)
		}
	}
	if h.tree == nil {
		h.weakness = weakness(cause)
		if _, err := os.Stat("/proc/thread-self/children"); err != nil {
			h.closeDescriptors()
			return nil, fmt.Errorf("cannot follow process trees: %w, and this kernel does not list children either (CONFIG_PROC_CHILDREN)", cause)
		}
	}
	h.findZombies()
	go h.poll()
	go h.clean()
	return h, nil
}

// findZombies finds children of ours that have ended: those of the program that
// was executed in this process before. Release of their leaf buries them.
func (h *Host) findZombies() {
	ours := children(os.Getpid())
	if len(ours) == 0 {
		return
	}
	leaves, _ := h.Leaves() // those that cannot be listed cannot be released either
	for _, leaf := range leaves {
		a, found := h.FindFirst(leaf)
		if s, err := readStat(a.PID); found && err == nil && s.dead() && slices.Contains(ours, a.PID) && bornAt(a) {
			h.zombies[leaf] = a.PID
		}
	}
}

func (h *Host) openDescriptors() (err error) {
	if h.null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return err
	}
	if h.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if h.inotify, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		return err
	}
	if h.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	if err = h.listen(h.inotify); err != nil {
		return err
	}
	return h.listen(h.wake)
}

func (h *Host) listen(fd int) error {
	return unix.EpollCtl(h.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (h *Host) closeDescriptors() {
	if h.null != nil {
		_ = h.null.Close()
	}
	for _, fd := range []int{h.epoll, h.inotify, h.wake} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

func (h *Host) ourPIDs() []int {
	pids := []int{os.Getpid()}
	if h.options.KeeperPID > 0 {
		pids = append(pids, h.options.KeeperPID)
	}
	return pids
}

func weakness(cause error) string {
	remedy := "mount cgroup v2 so that deputyd may write to it"
	if os.Geteuid() != 0 {
		remedy = "systemd-run --user --scope -p Delegate=yes deputy up"
	}
	return fmt.Sprintf("task trees are held by a subreaper process, which a task of the same user can kill, not by a cgroup: %v; remedy: %s", cause, remedy)
}

// Proof names what the end of a tree rests on: ProofCgroup or ProofSubreaper.
func (h *Host) Proof() string {
	if h.tree == nil {
		return ProofSubreaper
	}
	return ProofCgroup
}

// Weakness says why the promise is weaker than it could be, and the remedy; ""
// if it is not.
func (h *Host) Weakness() string { return h.weakness }

// TasksPath is the cgroup, as /proc/PID/cgroup writes it, in which the leaves
// are; "" without cgroups.
func (h *Host) TasksPath() string {
	if h.tree == nil {
		return ""
	}
	return filepath.Join(h.tree.path, "tasks")
}

// Leaves lists the leaves that exist, for recovery. Some may belong to another
// installation that shares our cgroup: act on those that the journal names.
func (h *Host) Leaves() ([]string, error) {
	if h.tree == nil {
		return reaperLeaves(h.options.StateDir)
	}
	return h.tree.leaves()
}

// Signal sends sig to every process of the leaf while none of them can fork,
// then lets them run, stopped ones too, so that they can obey. ErrGone: there
// was none.
func (h *Host) Signal(leaf string, sig unix.Signal) error {
	if h.tree == nil {
		return h.signalReaped(leaf, sig)
	}
	dir := h.tree.leaf(leaf)
	freeze(dir)
	defer thaw(dir)
	return h.signalAll(leaf, pidsIn(dir), sig, unix.SIGCONT)
}

// signalAll sends each of sigs to all pids, as far as they are of the leaf still: a
// process that could not be frozen may have ended, and its number be another's.
// ErrGone: there are none.
func (h *Host) signalAll(leaf string, pids []int, sigs ...unix.Signal) error {
	if len(pids) == 0 {
		return ErrGone
	}
	var failed error
	for _, pid := range pids {
		pidfd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err == nil {
			if path, gone := cgroupOf(fmt.Sprint(pid)); gone == nil && h.tree.holds(leaf, path) {
				for _, sig := range sigs {
					err = errors.Join(err, unix.PidfdSendSignal(pidfd, sig, nil, 0))
				}
			}
			unix.Close(pidfd)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) {
			failed = fmt.Errorf("cannot send %s to process %d: %w", unix.SignalName(sigs[0]), pid, err)
		}
	}
	return failed
}

// Kill kills all that lives in the leaf and counts it, frozen, just before. It
// does not wait: Empty follows. Nothing can be born in the leaf any more.
func (h *Host) Kill(leaf string) (killed int, err error) {
	if h.tree == nil {
		return h.killReaped(leaf)
	}
	dir := h.tree.leaf(leaf)
	freeze(dir)
	pids := pidsIn(dir)
	err = writeFile(dir+"/cgroup.kill", "1")
	if errors.Is(err, unix.EOPNOTSUPP) { // the task made its cgroup a threaded one
		err = h.signalAll(leaf, pids, unix.SIGKILL)
		thaw(dir)
	}
	h.killFirst(leaf)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, ErrGone) {
		err = nil
	}
	return len(pids), err
}

// killFirst ends the first process even where it had the privilege to leave
// its cgroup.
func (h *Host) killFirst(leaf string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a := h.attempts[leaf]; a != nil && a.pidfd >= 0 {
		_ = unix.PidfdSendSignal(a.pidfd, unix.SIGKILL, nil, 0) // it may be dead by now
	}
}

// Survivors lists what lives in the leaf.
func (h *Host) Survivors(leaf string) []deputy.Survivor {
	if h.tree == nil {
		return h.survivorsReaped(leaf)
	}
	return survivors(pidsIn(h.tree.leaf(leaf)))
}

// Pidfd gives a descriptor of a live attempt's first process that outlives ours;
// the caller closes it. ErrGone: it has ended, or the proof is not a cgroup and
// the subreaper needs nobody to keep its status.
func (h *Host) Pidfd(leaf string) (*os.File, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.attempts[leaf]
	if h.tree == nil || a == nil || a.pidfd < 0 {
		return nil, ErrGone
	}
	fd, err := unix.FcntlInt(uintptr(a.pidfd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("cannot keep the pidfd of %s: %w", leaf, err)
	}
	return os.NewFile(uintptr(fd), leaf), nil
}

// Orphan says whether a live attempt's first process is a child of neither us nor
// the keeper: its pidfd alone tells how it ends.
func (h *Host) Orphan(leaf string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.attempts[leaf]
	if a == nil {
		return false
	}
	s, err := readStat(a.PID)
	return err == nil && s.ppid != os.Getpid() && s.ppid != h.options.KeeperPID
}

// Release gives the leaf back after its end, which must be durable: until then
// the kernel keeps the status of the first process, for the keeper if we die.
// What still lives is no longer watched, and keeps its cgroup.
func (h *Host) Release(leaf string) {
	h.mu.Lock()
	if h.closed { // Close removes it
		h.mu.Unlock()
		return
	}
	delete(h.owned, leaf)
	if a := h.attempts[leaf]; a != nil {
		h.post(func(p *poller) { p.forget(a) })
	}
	h.bury(leaf)
	h.busy.Add(1)
	h.mu.Unlock()
	h.removals <- leaf
	h.busy.Done()
}

// clean is the janitor. A process that died a moment ago may keep its cgroup
// busy for another.
func (h *Host) clean() {
	defer close(h.removed)
	for leaf := range h.removals {
		_ = h.remove(leaf) // what stays is in Leaves
	}
}

func (h *Host) remove(leaf string) error {
	if h.tree == nil {
		return removeFinding(h.options.StateDir, leaf)
	}
	err := removeTree(h.tree.leaf(leaf))
	for try := 0; errors.Is(err, unix.EBUSY) && try < 5; try++ {
		time.Sleep(10 * time.Millisecond)
		err = removeTree(h.tree.leaf(leaf))
	}
	return err
}

// Close ends the watch. With leaveTasks all that lives lives on, to be adopted.
// Without, everything of ours is killed and removed and our own processes go
// back where they came from. No other method may be called meanwhile or after.
func (h *Host) Close(leaveTasks bool) error {
	var failed error
	if !leaveTasks {
		failed = h.killAll(2 * time.Millisecond)
	}
	h.mu.Lock()
	h.closed = true
	h.post(func(*poller) {})
	h.mu.Unlock()
	<-h.polled
	h.busy.Wait() // what is just being born must be found by whoever comes next
	close(h.removals)
	<-h.removed
	if h.births != nil {
		h.births.end()
	}
	if !leaveTasks {
		for leaf := range h.zombies {
			h.bury(leaf)
		}
		for leaf := range h.owned {
			failed = errors.Join(failed, h.remove(leaf))
		}
		if h.tree != nil {
			h.tree.leave(h.ourPIDs())
		}
	}
	for fd := range h.byFD {
		unix.Close(fd)
	}
	if h.births != nil {
		h.births.memory.Close() // mapped it stays: a newborn that hangs may still tell something
	}
	h.closeDescriptors()
	return failed
}
