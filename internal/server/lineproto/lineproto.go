// Package lineproto is the 'Key: Value' front door: one message, one answer of
// one JSON object, and the connection is closed. It is what the original daemon
// spoke. On a Unix socket the caller is the peer; over TCP a signature says who
// asks, and the monitor verifies it over the exact bytes.
package lineproto

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"deputy/internal/server/asker"
	"deputy/internal/server/local"
	"deputy/internal/server/share"
	"deputy/internal/wall"
)

// Time-outs of a connection.
const (
	messageTime = 5 * time.Second // for the whole message
	answerTime  = 5 * time.Second // for the peer to take the answer
	drainTime   = time.Second     // for the peer to close, once it has the answer
)

// Server answers messages.
type Server struct {
	askers  *asker.Askers
	log     *slog.Logger
	local   *share.Bodies  // what messages may hold: of the Unix sockets,
	network *share.Bodies  // and of TCP
	open    sync.WaitGroup // connections
}

// New makes a server. Its messages have their room where the
// bodies of HTTP have theirs.
func New(askers *asker.Askers, log *slog.Logger, local, network *share.Bodies) *Server {
	return &Server{askers: askers, log: log, local: local, network: network}
}

// Take answers a connection that the monitor has accepted and identified, and
// returns at once.
func (s *Server) Take(c wall.Connection, file *os.File) {
	socket, err := local.Open(file, c)
	if err != nil {
		s.log.Error("cannot take a connection", "number", c.Number, "error", err)
		return
	}
	s.open.Go(func() {
		who := s.askers.Local(c)
		s.converse(socket, s.local.Hold(who.Sender()), func(message []byte) answer { return s.ours(who, message) })
		socket.Close()
	})
}

// Serve answers the connections of a TCP listener, until it is closed.
func (s *Server) Serve(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			if temporary, ok := err.(interface{ Temporary() bool }); ok && temporary.Temporary() {
				time.Sleep(10 * time.Millisecond) // too many open files, for one: the backlog waits
				continue
			}
			return err
		}
		stream, ok := conn.(halfCloser)
		if !ok {
			conn.Close()
			continue
		}
		s.open.Go(func() {
			defer stream.Close()
			near := loopback(conn.LocalAddr()) && loopback(conn.RemoteAddr())
			who := s.askers.Network(conn.RemoteAddr())
			s.converse(stream, s.network.Hold(who.Sender()), func(message []byte) answer { return s.remote(who, message, near) })
		})
	}
}

func loopback(a net.Addr) bool {
	address, err := netip.ParseAddrPort(a.String())
	return err == nil && address.Addr().Unmap().IsLoopback()
}

// Wait returns once every connection was answered, or ctx has ended.
func (s *Server) Wait(ctx context.Context) {
	answered := make(chan struct{})
	go func() { s.open.Wait(); close(answered) }()
	select {
	case <-answered:
	case <-ctx.Done():
	}
}

// halfCloser is a connection that can end its own direction alone.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// converse reads the message, answers it, and waits for the peer to have the
// answer: bytes left unread at a close would reset the answer away.
func (s *Server) converse(c halfCloser, room share.Hold, reply func(message []byte) answer) {
	defer room.Free()
	_ = c.SetReadDeadline(time.Now().Add(messageTime))
	var a answer
	if message, refusal := read(c, &room); refusal != nil {
		a = refused(refusal)
	} else {
		if slot, ok := c.(interface{ Busy() }); ok {
			slot.Busy()
		}
		a = reply(message)
	}
	room.Free()
	_ = c.SetWriteDeadline(time.Now().Add(answerTime))
	if _, err := c.Write(a.bytes()); err != nil {
		return // the peer has gone
	}
	_ = c.CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(drainTime))
	_, _ = io.Copy(io.Discard, c)
}
