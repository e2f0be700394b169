package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"

	"deputy/internal/server/httpapi"
	"deputy/internal/server/lineproto"
	"deputy/internal/server/tcp"
	"deputy/internal/wall"
)

// limits of the TCP listeners together. What a connection costs before anybody
// knows who asks is about 30 KiB with TLS. Of the descriptors that this process
// may have, those of the Unix sockets, with the files that are read for them,
// take up to half: see the monitor's capacity.
func limits() tcp.Limits {
	all := int(min(1024, max(openFiles()/8, 8)))
	return tcp.Limits{All: all, Host: all / 2}
}

// sorter gives the connections of the monitor's door to the front doors that
// they are for.
type sorter struct {
	*wall.Door
	line *lineproto.Server
}

// Receive waits for a connection where HTTP is spoken.
func (s sorter) Receive() (wall.Connection, *os.File, error) {
	for {
		c, f, err := s.Door.Receive()
		if err != nil || !c.Line {
			return c, f, err
		}
		s.line.Take(c, f)
	}
}

// network is the front doors on TCP.
type network struct {
	greeting *wall.Greeting
	web      *http.Server
	line     *lineproto.Server
	log      *slog.Logger

	gate *tcp.Gate
	mu   sync.Mutex // guards what follows
	open []net.Listener
	shut bool
}

// listen opens the addresses of the greeting, each as soon as it can be.
func (n *network) listen(ctx context.Context) {
	n.gate = tcp.NewGate(limits())
	for _, address := range n.greeting.Line {
		go n.serve(ctx, address, nil, n.line.Serve)
	}
	how := httpapi.Remote{Name: n.greeting.Name}
	for _, address := range n.greeting.HTTP {
		go n.serve(ctx, address, nil, func(l net.Listener) error { return n.web.Serve(httpapi.OnTCP(l, how)) })
	}
	if len(n.greeting.HTTPS) == 0 {
		return
	}
	files := tcp.NewCertificates(n.greeting.Certificate, n.greeting.TLSKey, n.greeting.ClientCA, n.log)
	secure := httpapi.Remote{Name: n.greeting.Name, Secure: files.Names}
	for _, address := range n.greeting.HTTPS {
		go n.serve(ctx, address, files.Config(), func(l net.Listener) error { return n.web.Serve(httpapi.OnTCP(l, secure)) })
	}
}

// serve serves one address until close is called.
func (n *network) serve(ctx context.Context, address string, config *tls.Config, serve func(net.Listener) error) {
	l := tcp.Open(ctx, address, n.log)
	if l == nil {
		return
	}
	n.mu.Lock()
	n.open = append(n.open, l)
	if n.shut {
		l.Close()
	}
	n.mu.Unlock()
	_ = serve(&tcp.Listener{Listener: l, Gate: n.gate, TLS: config}) // it ends when the listener is closed
}

// close stops listening. Connections are left to those who serve them.
func (n *network) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.shut = true
	for _, l := range n.open {
		l.Close()
	}
}
