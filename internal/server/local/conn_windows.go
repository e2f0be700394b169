// Package local is a connection that the monitor has accepted and handed over
// through the door: a Unix socket, on Windows a named pipe. The monitor holds a
// duplicate of it, to see the peer go.
package local

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/windows"

	"deputy/internal/wall"
)

// lastBytes is how long a peer may take to read what it was answered.
const lastBytes = 5 * time.Second

// Conn is a connection. It is for the peer's own machine alone.
type Conn struct {
	*os.File
	first   []byte // what the monitor read to learn who it is
	closing sync.Once
}

// Open takes over the handle of one instance of a pipe. It must have been made
// overlapped, and may not belong to another process's completion port yet: one
// pipe can have one port alone.
func Open(f *os.File, c wall.Connection) (*Conn, error) {
	return &Conn{File: f, first: []byte{c.First}}, nil
}

// Read tells of the peer's end by io.EOF.
func (c *Conn) Read(p []byte) (int, error) {
	if len(c.first) > 0 && len(p) > 0 {
		p[0], c.first = c.first[0], nil
		return 1, nil
	}
	n, err := c.File.Read(p)
	if errors.Is(err, windows.ERROR_BROKEN_PIPE) || errors.Is(err, windows.ERROR_PIPE_NOT_CONNECTED) {
		err = io.EOF
	}
	return n, err
}

// CloseWrite does nothing: a pipe cannot be closed in one direction.
func (c *Conn) CloseWrite() error { return nil }

// AwaitHangup returns io.EOF at once: a peer that sends no more has closed.
func (c *Conn) AwaitHangup() error { return io.EOF }

// Close ends the connection for the peer, too, once it has read what it was
// answered: the monitor has a handle of its own, so that closing ours alone would
// tell the peer nothing. It does not wait for that.
func (c *Conn) Close() error {
	err := os.ErrClosed
	c.closing.Do(func() {
		err = c.SetDeadline(time.Unix(1, 0)) // ends a read that waits
		go c.part()
	})
	return err
}

func (c *Conn) part() {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			h := windows.Handle(fd)
			late := time.AfterFunc(lastBytes, func() { _ = windows.DisconnectNamedPipe(h) })
			_ = windows.FlushFileBuffers(h) // returns when all is read, or nobody will
			if late.Stop() {
				_ = windows.DisconnectNamedPipe(h)
			}
		})
	}
	_ = c.File.Close()
}

// LocalAddr names no address: the monitor holds the pipe.
func (c *Conn) LocalAddr() net.Addr { return &net.UnixAddr{Net: "unix"} }

// RemoteAddr names none either: a caller is known by its token.
func (c *Conn) RemoteAddr() net.Addr { return &net.UnixAddr{Net: "unix"} }
