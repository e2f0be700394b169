//go:build unix

package sockets

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"deputy/internal/monitor/keeper"
)

// A stream socket listens only once it has its mode and its group. What stands at its
// path is removed under the journal's lock alone, when no other instance can be
// listening there, and only if it is a socket.

// bind makes a Unix socket. What an earlier instance left at its path is removed:
// the journal's lock says that no other lives.
func bind(path string, kind int, mode uint32, gid int) (*os.File, error) {
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

// inherited takes the socket of a path that the service manager listens on for us;
// nil: there is none.
func (s *Sockets) inherited(path string, kind int) *keeper.Inherited {
	for i, x := range s.left.Inherited {
		if listensAt(x.File, kind) == filepath.Clean(path) {
			s.left.Inherited = slices.Delete(s.left.Inherited, i, i+1)
			return &x
		}
	}
	return nil
}

// CloseOthers closes the sockets that the service manager passed on and that nothing
// of the configuration names.
func (s *Sockets) CloseOthers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.left.Inherited {
		if path := listensAt(x.File, unix.SOCK_STREAM); path != "" {
			s.o.Log.Printf("the service manager passed a socket at %s that no [listen] of deputy.toml names; it is closed", path)
			s.keeper.Drop(x.Held)
			x.File.Close()
		}
	}
	s.left.Inherited = nil
}

// listensAt gives the path of a Unix socket that is bound, and listens if its
// kind does that; "" of anything else.
func listensAt(f *os.File, kind int) string {
	fd := int(f.Fd())
	if is, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || is != kind {
		return ""
	}
	if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); kind == unix.SOCK_STREAM && (err != nil || listens != 1) {
		return ""
	}
	address, err := unix.Getsockname(fd)
	if local, is := address.(*unix.SockaddrUnix); err == nil && is {
		return local.Name
	}
	return ""
}
