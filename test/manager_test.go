//go:build linux

package test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/test/rig"
)

// manager is the service manager's half of sd_notify(3), with its descriptor
// store: a socket that is read as systemd reads it.
type manager struct {
	t      *testing.T
	path   string
	socket *net.UnixConn

	mu    sync.Mutex // guards what follows
	heard []string   // lines
	store map[string][]*os.File
	most  int // descriptors that were in the store at once
	from  map[int]bool
}

func newManager(t *testing.T) *manager {
	t.Helper()
	m := &manager{t: t, path: filepath.Join(t.TempDir(), "notify"), store: map[string][]*os.File{}, from: map[int]bool{}}
	var err error
	if m.socket, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	raw, err := m.socket.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.socket.Close() })
	go m.listen()
	return m
}

func (m *manager) listen() {
	text, rights := make([]byte, 4096), make([]byte, 4096)
	for {
		n, rn, _, _, err := m.socket.ReadMsgUnix(text, rights)
		if err != nil {
			return
		}
		m.take(strings.Split(string(text[:n]), "\n"), rights[:rn])
	}
}

func (m *manager) take(lines []string, control []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = append(m.heard, lines...)
	var fds []int
	messages, _ := unix.ParseSocketControlMessage(control)
	for i := range messages {
		if got, err := unix.ParseUnixRights(&messages[i]); err == nil {
			fds = append(fds, got...)
		}
		if who, err := unix.ParseUnixCredentials(&messages[i]); err == nil {
			m.from[int(who.Pid)] = true
		}
	}
	name := ""
	for _, line := range lines {
		if value, ok := strings.CutPrefix(line, "FDNAME="); ok {
			name = value
		}
	}
	switch {
	case slices.Contains(lines, "FDSTORE=1"):
		if len(fds) != 1 || !slices.Contains(lines, "FDPOLL=0") {
			m.t.Errorf("%q came with %d descriptors", lines, len(fds))
		}
		for _, fd := range fds {
			m.store[name] = append(m.store[name], os.NewFile(uintptr(fd), name))
		}
	case slices.Contains(lines, "FDSTOREREMOVE=1"):
		for _, f := range m.store[name] {
			f.Close()
		}
		delete(m.store, name)
	case len(fds) > 0:
		m.t.Errorf("%q came with a descriptor", lines)
	}
	m.most = max(m.most, len(m.store))
}

func (m *manager) has(line string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Contains(m.heard, line)
}

func (m *manager) count(line string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, each := range m.heard {
		if each == line {
			n++
		}
	}
	return n
}

func (m *manager) keeps(task deputy.Task) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.store[task.ID+".1"])
}

func (m *manager) hears(line string) {
	m.t.Helper()
	rig.Eventually(m.t, time.Minute, "the service manager hears "+line, func() bool { return m.has(line) })
}

// give passes copies of all that is in the store to the next start, which empties
// nothing: the store's own are closed as that start says so.
func (m *manager) give(d *rig.Deputy) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, files := range m.store {
		for _, f := range files {
			fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				m.t.Fatal(err)
			}
			duplicate := os.NewFile(uintptr(fd), name)
			m.t.Cleanup(func() { duplicate.Close() })
			d.Passed, d.Names = append(d.Passed, duplicate), append(d.Names, name)
		}
	}
}

// The service manager hears from the keeper alone that requests are answered,
// that the loop lives, and that the end has come; nobody below hears of the manager.
func TestTheServiceManagerIsTold(t *testing.T) {
	rig.NeedRoot(t)
	m := newManager(t)
	d := prepare(t, endsModule+`
[action.env]
command = ["/usr/bin/env"]
`, rig.Files{"deputy.toml": installed}, "--installed")
	d.Env = []string{"NOTIFY_SOCKET=" + m.path, "WATCHDOG_USEC=400000", "LISTEN_FDS=3", "LISTEN_PID=1"}
	d.Start()
	m.hears("READY=1")
	m.hears("WATCHDOG=1")
	c := d.Self()
	env := c.Started("m/env", "")
	c.Ended(env.ID)
	server, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", d.Part("deputy-server")))
	if err != nil {
		t.Fatal(err)
	}
	for who, text := range map[string]string{"task": c.Stdout(env.ID), "server": string(server)} {
		for _, secret := range []string{m.path, "WATCHDOG_", "LISTEN_"} {
			if strings.Contains(text, secret) {
				t.Errorf("a %s sees %s: %q", who, secret, text)
			}
		}
	}
	// A loop that hangs is silent.
	monitor := d.Part("--role monitor")
	_ = syscall.Kill(monitor, syscall.SIGSTOP)
	rig.Eventually(t, time.Minute, "it is stopped", func() bool { return rig.State(monitor) == "T" })
	time.Sleep(300 * time.Millisecond) // what was on its way has come
	before := m.count("WATCHDOG=1")
	time.Sleep(time.Second)
	if n := m.count("WATCHDOG=1"); n != before {
		t.Errorf("a stopped monitor said %d times that it lives", n-before)
	}
	_ = syscall.Kill(monitor, syscall.SIGCONT)
	rig.Eventually(t, time.Minute, "it goes on", func() bool { return m.count("WATCHDOG=1") > before })
	_ = d.Cmd.Process.Signal(syscall.SIGHUP)
	m.hears("RELOADING=1")
	rig.Eventually(t, time.Minute, "it is ready again", func() bool { return m.count("READY=1") > 1 })
	upgrade(t, d, 1, deputy.Version)
	d.Stop()
	m.hears("STOPPING=1")
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.from) != 1 || !m.from[d.Cmd.Process.Pid] {
		t.Errorf("processes %v spoke, and the keeper is %d", m.from, d.Cmd.Process.Pid)
	}
}

// Keeper and monitor are killed together. The pidfds of tasks older than a second
// were in the manager's store: so the next start knows the exits of those that
// ended meanwhile, and of the others as they end. What the store cannot prove is
// unknown, never guessed.
func TestExitsAreExactFromTheStore(t *testing.T) {
	rig.NeedRoot(t)
	m := newManager(t)
	d := prepare(t, endsModule, rig.Files{"deputy.toml": installed}, "--installed")
	d.Env = []string{"NOTIFY_SOCKET=" + m.path}
	d.Start()
	c := d.Self()
	var during, after []ending
	for i, what := range []string{"7", "0", "SIGKILL", "SIGSEGV", "255"} {
		during = append(during, startEnding(t, d, text("during-%d", i), what))
		after = append(after, startEnding(t, d, text("after-%d", i), what))
	}
	foreign, lost := startEnding(t, d, "foreign", "3"), startEnding(t, d, "lost", "3")
	quick := c.Ended(c.Started("m/once", "").ID)
	all := append(append([]ending{foreign, lost}, during...), after...)
	rig.Eventually(t, time.Minute, "every pidfd is kept", func() bool {
		return !slices.ContainsFunc(all, func(e ending) bool { return m.keeps(e.task) != 1 })
	})
	if m.keeps(quick) > 0 || m.most != len(all) {
		t.Errorf("%d were kept at once, want %d; one of a task that had ended: %v", m.most, len(all), m.keeps(quick) > 0)
	}
	d.Crash()
	ended := append([]ending{foreign, lost}, during...)
	var pids []int
	for _, e := range ended {
		pids = append(pids, rig.Living(e.task.ID)[0])
		e.release()
	}
	rig.Eventually(t, time.Minute, "PID 1 reaps them", func() bool {
		return !slices.ContainsFunc(pids, func(pid int) bool { return rig.State(pid) != "" })
	})
	m.give(d)
	i, k := slices.Index(d.Names, foreign.task.ID+".1"), slices.Index(d.Names, lost.task.ID+".1")
	d.Passed[i] = pidfdOf(t, rig.Living(after[0].task.ID)[0]) // that of another process
	d.Passed, d.Names = slices.Delete(d.Passed, k, k+1), slices.Delete(d.Names, k, k+1)
	d.Passed, d.Names = append(d.Passed, os.Stderr), append(d.Names, "nonsense.1")
	d.Start()
	for _, e := range ended {
		if e.task.ID == foreign.task.ID || e.task.ID == lost.task.ID || !tellsExits(t) {
			e.want = "unknown unknown"
		}
		e.check(d.Self(), "while no deputy lived")
	}
	// The next monitors of this keeper know them still.
	_ = syscall.Kill(d.Part("--role monitor"), syscall.SIGKILL)
	answering(t, d)
	for _, e := range after {
		running(t, d.Self(), e.task.ID)
		e.release()
	}
	for _, e := range after {
		if !tellsExits(t) {
			e.want = "unknown unknown"
		}
		e.check(d.Self(), "under the next deputy")
	}
	rig.Eventually(t, time.Minute, "the store is empty", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.store) == 0
	})
	m.hears("FDNAME=nonsense.1")
	d.Verify()
}

// Without a service manager, a task that lived through the death of keeper and
// monitor is nobody's child: the keeper holds its pidfd from then on, so that it
// may end while the monitor alone is dead.
func TestExitsOfOrphansAreExact(t *testing.T) {
	rig.NeedRoot(t)
	d := prepare(t, endsModule, rig.Files{"deputy.toml": installed}, "--installed")
	d.Start()
	e := startEnding(t, d, "orphan", "9")
	d.Crash()
	d.Start()
	keeper := d.Cmd.Process.Pid
	rig.Eventually(t, time.Minute, "the keeper holds its pidfd", func() bool {
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", keeper))
		return slices.ContainsFunc(fds, func(fd string) bool { to, _ := os.Readlink(fd); return strings.Contains(to, "[pidfd]") })
	})
	_ = syscall.Kill(keeper, syscall.SIGSTOP)
	_ = syscall.Kill(d.Part("--role monitor"), syscall.SIGKILL)
	pid := rig.Living(e.task.ID)[0]
	e.release()
	rig.Eventually(t, time.Minute, "PID 1 reaps it", func() bool { return rig.State(pid) == "" })
	_ = syscall.Kill(keeper, syscall.SIGCONT)
	answering(t, d)
	if !tellsExits(t) {
		e.want = "unknown unknown"
	}
	e.check(d.Self(), "while no monitor lived")
	d.Verify()
}

func pidfdOf(t *testing.T, pid int) *os.File {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	t.Cleanup(func() { f.Close() })
	return f
}

// A socket on which the service manager listens for deputy is taken as it is,
// with those who wait there; one that nobody needs is told of and closed.
func TestSocketActivation(t *testing.T) {
	rig.NeedRoot(t)
	d := prepare(t, endsModule, rig.Files{"deputy.toml": installed}, "--installed")
	wanted, unneeded := listenAt(t, d.Socket), listenAt(t, filepath.Join(d.State, "other.sock"))
	before, err := os.Stat(d.Socket)
	if err != nil {
		t.Fatal(err)
	}
	d.Passed, d.Names = []*os.File{unneeded, wanted}, []string{"other.socket", "deputy.socket"}
	waits := make(chan rig.Answer, 1)
	go func() {
		a, _ := d.Self().Try("GET", "/v1/actions", "") // before deputy is started
		waits <- a
	}()
	for range 3 {
		d.Start()
		if now, err := os.Stat(d.Socket); err != nil || !os.SameFile(before, now) {
			t.Errorf("the socket is another: %v", err)
		}
		if want := "the service manager passed a socket at " + d.State + "/other.sock that no [listen]"; !strings.Contains(d.Log(), want) {
			t.Errorf("it is not said that %q; but:\n%s", want, d.Log())
		}
		_ = syscall.Kill(d.Part("--role monitor"), syscall.SIGKILL)
		answering(t, d)
		d.Stop()
	}
	if a := <-waits; a.Status != 200 {
		t.Errorf("who asked before the start was answered %d", a.Status)
	}
}

// The service manager's socket comes back, too, once it was deleted; the manager, which
// knows nothing of that, passes the old one on at the next start, where nobody asks.
func TestADeletedSocketOfTheManagerComesBack(t *testing.T) {
	rig.NeedRoot(t)
	d := prepare(t, endsModule, rig.Files{"deputy.toml": installed}, "--installed")
	d.Passed, d.Names = []*os.File{listenAt(t, d.Socket)}, []string{"deputy.socket"}
	answers := func() bool {
		a, err := d.Self().Try("GET", "/healthz", "")
		return err == nil && a.Status == 200
	}
	d.Start()
	for range 2 {
		if err := os.Remove(d.Socket); err != nil {
			t.Fatal(err)
		}
		rig.Eventually(t, time.Minute, "the socket is back", answers)
		d.Stop()
		d.Launch()
		rig.Eventually(t, time.Minute, "the next one is asked there", answers)
	}
}

// listenAt listens as a socket unit does.
func listenAt(t *testing.T, path string) *os.File {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	t.Cleanup(func() { f.Close() })
	return f
}
