package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/internal/monitor/journal"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/process"
	"deputy/internal/output"
)

// open readies all that a monitor needs, in the order in which each needs the
// other. The journal's lock comes first: after it there is no second monitor.
func (m *Monitor) open() error {
	p := m.o.Paths
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return fmt.Errorf("cannot tell which boot this is: %w", err)
	}
	m.boot = strings.TrimSpace(string(boot))
	set, warnings, err := manifest.Load(m.loadOptions())
	if err != nil {
		if m.first() { // nothing depends on us yet
			return err
		}
		// Tasks of an earlier monitor must be watched; nothing new is allowed.
		m.log.Printf("%v", err)
		m.log.Printf("every request is denied until the files above are mended and reloaded; running tasks go on")
		set = manifest.Nothing(m.loadOptions())
	}
	for _, w := range warnings {
		m.log.Printf("warning: %s", w)
	}
	if err := m.makeDirectories(set); err != nil {
		return err
	}
	if m.seal, err = openSeal(p.installationKey()); err != nil {
		return err
	}
	m.adopt(set)
	if err := m.openJournal(); err != nil {
		return err
	}
	if m.host, err = process.Open(process.Options{
		Instance: p.instance(), Reaper: m.o.Reaper, StateDir: p.reapers(), Events: m.heard, KeeperPID: os.Getppid(), ForceFallback: m.o.NoCgroup,
	}); err != nil {
		return err
	}
	if w := m.weakness(); w != "" {
		m.log.Printf("%s", w)
	}
	if m.capper, err = output.NewCapper(func(err error) { m.log.Printf("%v", err) }); err != nil {
		return err
	}
	return m.openSockets()
}

// adopt puts a loaded policy in force.
func (m *Monitor) adopt(set *manifest.Policy) {
	m.set = set
	m.policy = policy.New(set, policy.Options{SelfUID: uint32(os.Geteuid()), Seal: m.seal})
	m.connections.Store(int64(set.Config.Default.Connections))
	m.rules.Store(&set.Config.Storage)
	var warnings []string
	m.keys, warnings = loadKeys(filepath.Join(m.o.Paths.Config, "keys"), uint32(os.Geteuid()), m.seal)
	for _, w := range warnings {
		m.log.Printf("warning: %s", w)
	}
}

func (m *Monitor) loadOptions() manifest.Options {
	p := m.o.Paths
	return manifest.Options{
		ConfigFile: filepath.Join(p.Config, "deputy.toml"), ModuleDirs: p.Modules, AllowDir: filepath.Join(p.Config, "allow.d"),
		KeysDir: filepath.Join(p.Config, "keys"), Root: !m.o.Up, UID: uint32(os.Geteuid()), Socket: p.Socket,
	}
}

// openJournal takes the lock, replays the last segment into the state, and
// records that this monitor began and by which policy.
func (m *Monitor) openJournal() error {
	j, found, err := journal.Open(m.o.Paths.journal(), journal.Options{
		Checkpoint: m.checkpoint,
		Notify:     func() { m.post(m.synced) },
	})
	if err != nil {
		return err
	}
	m.journal = j
	for _, cut := range found.Cuts {
		m.log.Printf("journal: %s", cut)
	}
	if err := found.Replay(m.state.Apply); err != nil {
		return fmt.Errorf("cannot replay the journal: %w", err)
	}
	m.floors = m.state.Nonces.leases()
	m.record(&deputy.Event{Type: deputy.MonitorStart, Version: deputy.Version, Boot: m.boot, PID: os.Getpid()}, nil, nil)
	m.record(&deputy.Event{Type: deputy.PolicyLoaded, Policy: m.set.Digest, Files: m.set.Files}, nil, nil)
	if m.state.Drains && m.first() {
		m.record(&deputy.Event{Type: deputy.DrainOff, Reason: "deputy was started anew"}, nil, nil)
	}
	return nil
}

// first says whether this is its keeper's first monitor: the service was
// started, and has not merely lost its monitor.
func (m *Monitor) first() bool { return len(m.link.Held()) == 0 }

// makeDirectories makes what may be missing, each with its owner and mode.
func (m *Monitor) makeDirectories(set *manifest.Policy) error {
	p := m.o.Paths
	uid, gid := os.Geteuid(), os.Getegid()
	if u := set.Config.Server.User; u != nil && m.root() {
		uid, gid = int(u.UID), int(u.GID)
	}
	m.serverUID, m.serverGID = uid, gid
	for _, d := range []struct {
		path     string
		mode     os.FileMode
		uid, gid int
	}{
		{p.State, 0o755, -1, -1},
		{p.journal(), 0o700, -1, -1},
		{p.tasks(), 0o750, -1, gid},
		{p.reapers(), 0o700, -1, -1},
		{p.History, 0o700, uid, gid},
		{filepath.Dir(p.Notify), 0o755, -1, -1},
		{filepath.Dir(set.Config.Listen.Unix.Path), 0o755, -1, -1},
	} {
		if err := makeDirectory(d.path, d.mode, d.uid, d.gid); err != nil {
			return fmt.Errorf("cannot make %s: %w", d.path, err)
		}
	}
	return nil
}

// makeDirectory leaves the mode and owner of one that exists alone, unless an
// owner is asked for.
func makeDirectory(path string, mode os.FileMode, uid, gid int) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(path, mode); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if uid < 0 && gid < 0 {
		return nil
	}
	return os.Chown(path, uid, gid)
}

// openSockets makes the sockets that outlive a server and a monitor, or takes
// them from the keeper, which holds them from one monitor to the next.
func (m *Monitor) openSockets() error {
	listen := m.set.Config.Listen.Unix
	var err error
	if m.listener, err = m.socket("unix:"+listen.Path, listen.Path, unix.SOCK_STREAM, listen.Mode, listen.GID); err != nil {
		return err
	}
	if m.notify, err = m.socket("notify", m.o.Paths.Notify, unix.SOCK_DGRAM, 0o666, -1); err != nil {
		return err
	}
	if m.reception, err = newReception(func() int { return int(m.connections.Load()) }); err != nil {
		return err
	}
	if err := m.reception.listen(int(m.listener.Fd()), false); err != nil {
		return err
	}
	m.listenLines()
	return nil
}

// lineSocket is what the keeper calls the socket of a path in [listen] line.
const lineSocket = "line:"

// listenLines opens the Unix sockets of [listen] line, with the mode and group
// of [listen] unix, and closes those that are no longer named. What cannot be
// opened is said, and the others serve; the next reload tries again.
func (m *Monitor) listenLines() {
	wanted := map[string]bool{}
	for _, path := range m.set.Config.Listen.Line {
		if !strings.HasPrefix(path, "/") {
			continue // TCP: the server's
		}
		wanted[path] = true
		if m.lines[path] != nil {
			continue
		}
		if err := m.listenLine(path); err != nil {
			m.log.Printf("%v; the other sockets serve", err)
		}
	}
	for name, f := range m.link.Held() { // by a monitor that had another configuration
		if path, is := strings.CutPrefix(name, lineSocket); is && m.lines[path] == nil {
			m.closeLine(path, f)
		}
	}
	for path, f := range m.lines {
		if !wanted[path] {
			m.reception.ignore(int(f.Fd()))
			m.closeLine(path, f)
		}
	}
}

func (m *Monitor) closeLine(path string, f *os.File) {
	m.link.Drop(lineSocket + path)
	delete(m.link.Held(), lineSocket+path)
	delete(m.lines, path)
	f.Close()
	os.Remove(path)
}

func (m *Monitor) listenLine(path string) error {
	if err := makeDirectory(filepath.Dir(path), 0o755, -1, -1); err != nil {
		return fmt.Errorf("cannot make %s: %w", filepath.Dir(path), err)
	}
	f, err := m.socket(lineSocket+path, path, unix.SOCK_STREAM, m.set.Config.Listen.Unix.Mode, m.set.Config.Listen.Unix.GID)
	if err != nil {
		return err
	}
	m.lines[path] = f
	return m.reception.listen(int(f.Fd()), true)
}

func (m *Monitor) socket(name, path string, kind int, mode uint32, gid int) (*os.File, error) {
	if f := m.link.Held()[name]; f != nil {
		return f, nil
	}
	f, err := bindUnix(path, kind, mode, gid)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	return f, m.link.Hold(name, f)
}

// bindUnix makes a Unix socket. What an earlier instance left at its path is
// removed: the journal's lock says that no other lives.
func bindUnix(path string, kind int, mode uint32, gid int) (*os.File, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket == 0 {
		return nil, errors.New("something that is not a socket stands there; remove it or set [listen] unix to another path")
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		f.Close()
		if errors.Is(err, unix.EINVAL) {
			return nil, fmt.Errorf("the path has %d bytes and a socket's may have 107 (unix(7)); choose a shorter --state", len(path))
		}
		return nil, err
	}
	err = os.Chmod(path, os.FileMode(mode))
	if err == nil && gid >= 0 {
		err = os.Chown(path, -1, gid)
	}
	if err == nil && kind == unix.SOCK_STREAM {
		err = unix.Listen(fd, unix.SOMAXCONN)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
