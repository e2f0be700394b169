package pipe

import (
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/windows"
)

// readWithin is how long a client may take to read what it was sent last.
const readWithin = 5 * time.Second

// Conn is the server's end of a named pipe that a client has connected to.
type Conn struct {
	*os.File
	first []byte // read before by another, to be read again
	done  func()
	once  sync.Once
}

// NewConn makes a connection of the handle that f owns. first is what was read
// of it already; done, if not nil, is called when the client has been let go.
func NewConn(f *os.File, first []byte, done func()) *Conn {
	return &Conn{File: f, first: first, done: done}
}

func (c *Conn) Read(p []byte) (int, error) {
	if len(c.first) > 0 && len(p) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.File.Read(p)
}

// Close lets the client read what it was sent, for a while, then disconnects it:
// the monitor has a handle of the pipe, so that closing ours alone would tell the
// client nothing. It does not wait for that.
func (c *Conn) Close() error {
	c.once.Do(func() {
		_ = c.SetDeadline(time.Unix(1, 0)) // ends a read that waits
		go c.part()
	})
	return nil
}

func (c *Conn) part() {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			h := windows.Handle(fd)
			late := time.AfterFunc(readWithin, func() { _ = windows.DisconnectNamedPipe(h) })
			_ = windows.FlushFileBuffers(h) // returns when all is read, or nobody will
			if late.Stop() {
				_ = windows.DisconnectNamedPipe(h)
			}
		})
	}
	c.File.Close()
	if c.done != nil {
		c.done()
	}
}

type address struct{}

func (address) Network() string { return "pipe" }
func (address) String() string  { return "local" }

// LocalAddr names no address: the monitor holds the name.
func (c *Conn) LocalAddr() net.Addr { return address{} }

// RemoteAddr names none either.
func (c *Conn) RemoteAddr() net.Addr { return address{} }
