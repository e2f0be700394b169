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
)

// lastBytes is how long a peer may take to read what it was answered.
const lastBytes = time.Second

// Conn is a connection. It is for the peer's own machine alone.
type Conn struct {
	*os.File
	closing sync.Once
}

// Open takes over the handle of one instance of a pipe. It must have been made
// overlapped, and may not belong to another process's completion port yet: one
// pipe can have one port alone.
func Open(f *os.File) (*Conn, error) { return &Conn{File: f}, nil }

// Read tells of the peer's end by io.EOF.
func (c *Conn) Read(p []byte) (int, error) {
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

// Close ends the connection for the peer, too, once it has read what was
// answered: the monitor holds a duplicate of the handle, so that closing ours
// alone would tell the peer nothing.
func (c *Conn) Close() error {
	err := os.ErrClosed
	c.closing.Do(func() {
		h := windows.Handle(c.Fd())
		read := make(chan struct{})
		go func() { defer close(read); _ = windows.FlushFileBuffers(h) }()
		select {
		case <-read:
		case <-time.After(lastBytes):
		}
		_ = windows.DisconnectNamedPipe(h)
		<-read // the handle must live as long as it is used
		err = c.File.Close()
	})
	return err
}

// LocalAddr names no address: the monitor holds the pipe.
func (c *Conn) LocalAddr() net.Addr { return &net.UnixAddr{Net: "unix"} }

// RemoteAddr names none either: a caller is known by its token.
func (c *Conn) RemoteAddr() net.Addr { return &net.UnixAddr{Net: "unix"} }
