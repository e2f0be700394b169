//go:build unix

package monitor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// openSockets makes the sockets that outlive a server and a monitor, or takes
// them from the keeper, which holds them from one monitor to the next.
func (m *Monitor) openSockets() error {
	listen := m.set.Config.Listen.Unix
	var err error
	if m.listener, err = m.socket("unix:"+listen.Path, listen.Path, unix.SOCK_STREAM, listen.Mode, listen.GID); err != nil {
		return err
	}
	if takesProgress {
		notify, err := m.socket("notify", m.o.Paths.Notify, unix.SOCK_DGRAM, 0o666, -1)
		if err != nil {
			return err
		}
		m.notify.Store(notify)
	}
	if m.reception, err = newReception(m.share()); err != nil {
		return err
	}
	m.reception.self = os.Getpid()
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
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
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
	if x := m.inheritedSocket(path, kind); x != nil {
		return x.File, errors.Join(m.link.Hold(name, x.File), m.link.Drop(x.Held))
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
	fd, err := unixSocket(kind)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		f.Close()
		if errors.Is(err, unix.EINVAL) {
			return nil, fmt.Errorf("the path has %d bytes and a socket's may have %d (unix(7)); choose a shorter --state", len(path), len(unix.RawSockaddrUnix{}.Path)-1)
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

func (m *Monitor) removeSockets() {
	os.Remove(m.set.Config.Listen.Unix.Path)
	for path := range m.lines {
		os.Remove(path)
	}
	os.Remove(m.o.Paths.Notify)
}
