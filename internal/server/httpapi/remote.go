package httpapi

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"deputy"
)

// Remote is how HTTP is spoken on a TCP address.
type Remote struct {
	Name   string                 // the server's: a Host that may be asked for
	Secure func(host string) bool // of TLS: whether the certificate is valid for a host; nil: plain HTTP
}

// OnTCP makes of a TCP listener one whose connections the server of NewServer
// answers. Each of their requests must be signed.
func OnTCP(l net.Listener, r Remote) net.Listener { return &remoteListener{l, r} }

type remoteListener struct {
	net.Listener
	Remote
}

func (l *remoteListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &remote{Conn: c, how: l.Remote, aborted: make(chan struct{}, 1)}, nil
}

// remote is a connection over TCP. Who asks is shown by each request.
type remote struct {
	net.Conn
	how Remote
	spoken
	aborted chan struct{} // of one place, full once a Read that waits is to end
}

// Read reads for net/http, and looks at the heads of requests first. A peer that
// has only shut down its own side still waits for its answer: where net/http
// watches the connection, the end is told only after a while. Over TCP a peer that
// has gone looks the same.
func (c *remote) Read(p []byte) (int, error) {
	select {
	case <-c.aborted:
	default:
	}
	n, err := c.read(c.Conn, p)
	if errors.Is(err, io.EOF) && watches(p) {
		select {
		case <-c.aborted:
			return 0, os.ErrDeadlineExceeded
		case <-time.After(halfClosed):
		}
	}
	return n, err
}

// halfClosed is how long a request is answered for a peer that sends no more.
const halfClosed = 10 * time.Second

// SetReadDeadline ends a Read that waits if the time is over; so does net/http
// when it has the answer.
func (c *remote) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && !t.After(time.Now()) {
		select {
		case c.aborted <- struct{}{}:
		default:
		}
	}
	c.until(t)
	return c.Conn.SetReadDeadline(t)
}

// Write writes for net/http.
func (c *remote) Write(p []byte) (int, error) { return c.write(c.Conn, p) }

// CloseWrite lets net/http end an answer without a reset, which would take it
// away from a client that is still sending.
func (c *remote) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// busy says that a complete request is being answered: its connection is not
// closed to make room for another.
func (c *remote) busy() {
	if slot, ok := c.Conn.(interface{ Busy() }); ok {
		slot.Busy()
	}
}

func (c *remote) idle() {
	if slot, ok := c.Conn.(interface{ Idle() }); ok {
		slot.Idle()
	}
}

// checkRemote refuses a request over TCP that two readers could take for two
// things, and one that a page of another site may have made a browser send.
func (x *exchange) checkRemote() error {
	c := x.peer.remote
	if !x.r.ProtoAtLeast(1, 1) {
		return refuse(http.StatusHTTPVersionNotSupported, deputy.BadRequest, "cannot answer %.20s over TCP; use HTTP/1.1", x.r.Proto)
	}
	if err := x.readTarget(); err != nil {
		return err
	}
	switch {
	case !c.serves(x.r.Host):
		return refuse(http.StatusMisdirectedRequest, deputy.BadRequest,
			"cannot answer for the host %.100q: ask for the address that you connect to, localhost, or %q ([server] name)", x.r.Host, c.how.Name)
	case !c.sameSite(x.r):
		return deputy.Refuse(deputy.NotAllowed, "cannot take a request that a page of another site has made a browser send (Origin, Sec-Fetch-Site)")
	}
	return nil
}

// serves says whether a Host is one of ours: the local address of the
// connection, localhost, the server's name, or what the certificate names. A
// name of somebody else may lead here (DNS rebinding), but not by our doing.
func (c *remote) serves(host string) bool {
	local, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return false
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil { // without a port
		name, port = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), ""
	}
	_, localPort, _ := net.SplitHostPort(local.String())
	if port != "" && port != localPort {
		return false
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.Unmap() == local.Addr().Unmap()
	}
	return strings.EqualFold(name, "localhost") || strings.EqualFold(name, c.how.Name) ||
		c.how.Secure != nil && c.how.Secure(name)
}

// sameSite says whether a request comes from no page at all, or one of ours.
func (c *remote) sameSite(r *http.Request) bool {
	scheme := "http://"
	if c.how.Secure != nil {
		scheme = "https://"
	}
	for _, origin := range r.Header["Origin"] {
		if !strings.EqualFold(origin, scheme+r.Host) {
			return false
		}
	}
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site != "same-origin" && site != "none" {
			return false
		}
	}
	return true
}
