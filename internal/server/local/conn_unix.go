//go:build unix

// Package local is a connection that the monitor has accepted and handed over
// through the door: a Unix socket, on Windows a named pipe. The monitor holds a
// duplicate of it, to see the peer go.
package local

import (
	"errors"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"deputy/internal/wall"
)

// Conn is a connection. It is for the peer's own machine alone.
type Conn struct{ *net.UnixConn }

// Open takes over the descriptor of a connection.
func Open(f *os.File, _ wall.Connection) (*Conn, error) {
	defer f.Close()
	stream, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	socket, ok := stream.(*net.UnixConn)
	if !ok {
		stream.Close()
		return nil, errors.New("it is not a Unix socket")
	}
	return &Conn{socket}, nil
}

// AwaitHangup returns io.EOF once the peer has closed its socket, or the error
// of a read deadline. A peer that has only shut down its own side still waits
// for its answer.
func (c *Conn) AwaitHangup() error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	err = raw.Read(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd)}} // POLLHUP is always told
		n, err := unix.Poll(poll, 0)
		return err != nil && err != unix.EINTR || n > 0
	})
	if err != nil {
		return err
	}
	return io.EOF
}

// Close ends the connection for the peer, too: the monitor holds a duplicate of
// the descriptor, so that closing ours alone would tell the peer nothing.
func (c *Conn) Close() error {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
	}
	return c.UnixConn.Close()
}
