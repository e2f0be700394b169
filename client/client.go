// Package client asks a deputy daemon over its HTTP API: on a Unix socket, where
// the kernel says who asks (New), or signed, over TCP (Signed).
//
// A Client that could never connect fails at once; one that has connected takes
// a lost connection for a restart of the server and tries again for up to
// Patience, wherever asking twice is the same as asking once.
package client

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Client asks one daemon. It may be used by many goroutines at once.
type Client struct {
	// Patience is how long a request is tried again after a connection was
	// lost, 30 s unless set before the first use.
	Patience time.Duration

	// Check, if it is set before the first use, is shown each connection that was
	// made to a socket, before anything is sent over it. With an error the daemon
	// there is not asked.
	Check func(socket string, conn net.Conn) error

	// Stalled, if it is set before the first use, is asked why a read is not answered
	// for a second or longer. With an error it is given up: who listens there holds the
	// socket for a daemon that does not come up.
	Stalled func(socket string) error

	base   string  // scheme and host of every URL
	signer *signer // nil: nothing is signed
	http   *http.Client
	met    atomic.Bool // a connection was made: a daemon is, or was, there

	mu      sync.Mutex
	sockets []string // places to try; just the one in use once a connection was made
}

// New gives a client of the daemon that listens on the first of these Unix
// sockets that can be connected. From then on it keeps to that one. None stands for
// DEPUTY_SOCKET, else /run/deputy/deputy.sock. Nothing is connected yet.
func New(sockets ...string) *Client {
	if len(sockets) == 0 {
		sockets = []string{cmp.Or(os.Getenv("DEPUTY_SOCKET"), "/run/deputy/deputy.sock")}
	}
	// The host is a placeholder: on the Unix socket it is ignored.
	c := &Client{Patience: 30 * time.Second, base: "http://deputy", sockets: sockets}
	c.http = over(&http.Transport{
		DialContext:         c.dial,
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     time.Minute,
	})
	return c
}

// over gives an HTTP client that asks over a transport.
func over(t *http.Transport) *http.Client {
	t.DisableCompression = true
	t.ExpectContinueTimeout = time.Second
	return &http.Client{
		Transport: t,
		// The API has no redirects: one would lead to someone else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Close closes the connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Socket gives the socket in use, or "" before the first connection.
func (c *Client) Socket() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sockets) != 1 {
		return ""
	}
	return c.sockets[0]
}

// dial connects to the first socket that answers and keeps to it, so that a
// daemon that restarts is never mistaken for another one further down the list.
func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	c.mu.Lock()
	sockets := c.sockets
	c.mu.Unlock()

	failed := &UnreachableError{}
	for _, socket := range sockets {
		conn, err := Dial(ctx, socket)
		if err == nil && c.Check != nil {
			if err = c.Check(socket, conn); err != nil {
				conn.Close()
			}
		}
		if err == nil {
			c.met.Store(true)
			c.mu.Lock()
			c.sockets = []string{socket}
			c.mu.Unlock()
			return conn, nil
		}
		failed.Tried = append(failed.Tried, Place{socket, reason(err)})
	}
	return nil, failed
}
