package httpapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"deputy/internal/server/local"
	"deputy/internal/wall"
)

// Door gives the connections that the monitor has accepted and identified.
type Door interface {
	Receive() (wall.Connection, *os.File, error)
	Close() error // ends a Receive that waits
}

// Time-outs and sizes of a connection.
const (
	headerTime  = 5 * time.Second  // for a request's header
	requestTime = 15 * time.Second // for header and body; see bodyTime
	idleTime    = 2 * time.Minute  // between two requests
	maxHeader   = 16 << 10         // bytes; net/http itself adds 4 KiB to what it is told
)

// NewServer makes the HTTP server of an API. Its listeners must be Listeners, or
// those of OnTCP.
func NewServer(a *API) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:                      a,
		ReadHeaderTimeout:            headerTime,
		ReadTimeout:                  requestTime,
		IdleTimeout:                  idleTime,
		MaxHeaderBytes:               maxHeader - 4<<10,
		DisableGeneralOptionsHandler: true,
		Protocols:                    protocols,
		ErrorLog:                     slog.NewLogLogger(a.Log.Handler(), slog.LevelWarn),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, a.newPeer(c))
		},
	}
}

// Listener gives net/http the connections that come through the door.
type Listener struct {
	door Door
	log  *slog.Logger
	over atomic.Int32   // open connections that are beyond a limit
	open sync.WaitGroup // all open connections
}

// NewListener makes a net.Listener of a door.
func NewListener(door Door, log *slog.Logger) *Listener { return &Listener{door: door, log: log} }

// maxOver is how many connections beyond a limit are told so at the same time;
// more are closed without a word.
const maxOver = 128

// Accept waits for a connection; its error is final.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, file, err := l.door.Receive()
		if errors.Is(err, wall.ErrBroken) {
			l.log.Error("cannot take a connection", "error", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		socket, err := local.Open(file, c)
		if err != nil {
			l.log.Error("cannot take a connection", "number", c.Number, "error", err)
			continue
		}
		accepted := &conn{Conn: socket, Connection: c, listener: l}
		accepted.heads.local = true
		l.open.Add(1)
		if (c.Over || c.Full) && l.over.Add(1) > maxOver {
			accepted.Close()
			continue
		}
		return accepted, nil
	}
}

// Drain answers what comes over the connections that there are, closes each as
// soon as it is idle, and returns when all are, or ctx has ended. A server that
// shuts down at once reads such requests and does not answer them.
func (l *Listener) Drain(ctx context.Context, web *http.Server) {
	web.SetKeepAlivesEnabled(false)
	closed := make(chan struct{})
	go func() { l.open.Wait(); close(closed) }()
	select {
	case <-closed:
	case <-ctx.Done():
	}
}

// Close closes the door.
func (l *Listener) Close() error { return l.door.Close() }

// Addr names no address: the monitor holds the socket.
func (l *Listener) Addr() net.Addr { return &net.UnixAddr{Net: "unix"} }

// conn is a connection that the monitor has identified.
type conn struct {
	*local.Conn
	wall.Connection
	listener *Listener
	closed   atomic.Bool
	spoken
}

// Read tells net/http of the peer's end. A peer that has only shut down its own
// side still waits for its answer (`printf … | nc -N`): where net/http watches the
// connection, the end is the one when nobody can read the answer.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.read(c.Conn, p)
	if errors.Is(err, io.EOF) && watches(p) {
		return 0, c.AwaitHangup()
	}
	return n, err
}

// Write writes for net/http.
func (c *conn) Write(p []byte) (int, error) { return c.write(c.Conn, p) }

// SetReadDeadline is net/http's, which also ends a Read by one that has passed.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.until(t)
	return c.Conn.SetReadDeadline(t)
}

// Close ends the connection.
func (c *conn) Close() error {
	if !c.closed.Swap(true) {
		if c.Over || c.Full {
			c.listener.over.Add(-1)
		}
		defer c.listener.open.Done()
	}
	return c.Conn.Close()
}
