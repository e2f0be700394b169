package tcp

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"
)

// gated listens behind a gate, and gives what it accepts.
func gated(t *testing.T, l Limits) (dial func(from string) net.Conn, accepted <-chan *Conn, gate *Gate) {
	t.Helper()
	inner := Open(context.Background(), "127.0.0.1:0", slog.New(slog.DiscardHandler))
	gate = NewGate(l)
	outer := &Listener{Listener: inner, Gate: gate}
	conns := make(chan *Conn, 1000)
	go func() {
		for {
			c, err := outer.Accept()
			if err != nil {
				return
			}
			conns <- c.(*Conn)
		}
	}()
	t.Cleanup(func() { inner.Close() })
	return func(from string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}, conns, gate
}

func take(t *testing.T, accepted <-chan *Conn) *Conn {
	t.Helper()
	select {
	case c := <-accepted:
		return c
	case <-time.After(10 * time.Second):
		t.Fatal("no connection is accepted")
		return nil
	}
}

// closed waits until the other end has closed c.
func closed(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Fatalf("the connection is still open: %v", err)
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

func open(t *testing.T, c net.Conn, server *Conn) {
	t.Helper()
	if _, err := server.Write([]byte("x")); err != nil {
		t.Fatalf("the connection is closed: %v", err)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatalf("the connection is closed: %v", err)
	}
}

func TestTheLongestIdleGoes(t *testing.T) {
	dial, accepted, gate := gated(t, Limits{All: 10, Host: 3})
	a, b, c := dial("127.0.0.1"), dial("127.0.0.1"), dial("127.0.0.1")
	other := dial("127.0.0.2")
	sa, sb, sc, so := take(t, accepted), take(t, accepted), take(t, accepted), take(t, accepted)
	sa.Busy()
	sb.Busy()
	sb.Idle() // now it is the newest
	d := dial("127.0.0.1")
	sd := take(t, accepted)
	closed(t, c)
	open(t, a, sa)
	open(t, b, sb)
	open(t, d, sd)
	open(t, other, so)

	sb.Busy()
	sd.Busy()
	e := dial("127.0.0.1") // all are busy
	closed(t, e)
	sd.Idle()
	f := dial("127.0.0.1")
	sf := take(t, accepted)
	closed(t, d)
	open(t, f, sf)

	sc.Close() // twice over: it was taken out before
	sd.Idle()
	for _, s := range []*Conn{sa, sb, sd, sf, so} {
		s.Close()
		s.Close()
	}
	if gate.open != 0 || len(gate.hosts) != 0 || gate.idle.Len() != 0 {
		t.Errorf("%d open, %d hosts, %d idle at the end", gate.open, len(gate.hosts), gate.idle.Len())
	}
}

func TestOneHostFillsNotAll(t *testing.T) {
	dial, accepted, _ := gated(t, Limits{All: 4, Host: 3})
	for range 20 {
		dial("127.0.0.1")
		take(t, accepted)
	}
	var others []net.Conn
	var ends []*Conn
	for _, from := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"} {
		others = append(others, dial(from))
		ends = append(ends, take(t, accepted))
	}
	for i := range others {
		open(t, others[i], ends[i]) // the first host's went, one for each
	}
}

// TestManyAtOnce: whatever the order, places are neither lost nor doubled.
func TestManyAtOnce(t *testing.T) {
	dial, accepted, gate := gated(t, Limits{All: 20, Host: 8})
	var ends sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		ends.Go(func() {
			for {
				select {
				case c := <-accepted:
					c.Busy()
					c.Idle()
					c.Busy()
					_ = c.Close()
					c.Idle()
				case <-stop:
					return
				}
			}
		})
	}
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			for range 50 {
				c := dial([]string{"127.0.0.1", "127.0.0.2", "127.0.0.3"}[i%3])
				_, _ = io.Copy(io.Discard, c)
				c.Close()
			}
		})
	}
	clients.Wait()
	close(stop)
	ends.Wait()
	gate.mu.Lock()
	defer gate.mu.Unlock()
	if gate.open != 0 || len(gate.hosts) != 0 || gate.idle.Len() != 0 {
		t.Errorf("%d open, %d hosts, %d idle at the end", gate.open, len(gate.hosts), gate.idle.Len())
	}
}
