//go:build linux

package httpapi_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkJoin is 64 callers on kept-alive connections whose requests join one
// live task; BenchmarkPlain is the same against net/http that does nothing.
// The monitor here makes nothing durable: what is measured is the server.
func BenchmarkJoin(b *testing.B) {
	r := start(b)
	id := r.Accept("uid:33", "demo", "echo", nil)
	r.Start(id)
	r.sync()
	callers(b, 64, func() net.Conn { return r.Dial(panel) }, finish("POST /v1/actions/demo/echo\nContent-Type: application/json\n\n{\"join\":\""+id+"\"}"))
}

func BenchmarkPlain(b *testing.B) {
	l := &pipes{made: make(chan net.Conn)}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
	})}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	callers(b, 64, func() net.Conn { return l.dial(b) }, finish("POST /v1/actions/demo/echo\nContent-Type: application/json\n\n{\"join\":\"01890a5d-ac96-774b-bcce-000000000001\"}"))
}

// callers sends b.N requests over n connections and reads the answers.
func callers(b *testing.B, n int, dial func() net.Conn, request string) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range n {
		conn := dial()
		all.Go(func() {
			defer conn.Close()
			in := bufio.NewReader(conn)
			for left.Add(-1) >= 0 {
				if _, err := io.WriteString(conn, request); err != nil {
					b.Error(err)
					return
				}
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					b.Error(err)
					return
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusAccepted {
					b.Error(resp.Status, err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "answers/s")
}

// pipes is a listener of socket pairs.
type pipes struct {
	made chan net.Conn
	once sync.Once
}

func (l *pipes) dial(b *testing.B) net.Conn {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pipe")
		ends[i], err = net.FileConn(f)
		f.Close()
		if err != nil {
			b.Fatal(err)
		}
	}
	l.made <- ends[0]
	return ends[1]
}

func (l *pipes) Accept() (net.Conn, error) {
	if conn, ok := <-l.made; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.made) })
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.UnixAddr{} }
