package httpapi

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// recording is a connection that says how each of its Reads begins.
type recording struct {
	net.Conn
	reads chan bool // whether it watches
}

func (c *recording) Read(p []byte) (int, error) {
	c.reads <- watches(p)
	return c.Conn.Read(p)
}

// only is a listener of one connection.
type only chan net.Conn

func (l only) Accept() (net.Conn, error) {
	if c, open := <-l; open {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (only) Close() error   { return nil }
func (only) Addr() net.Addr { return &net.UnixAddr{} }

// While a request is being answered net/http reads into a single byte; whatever it
// reads of heads and bodies it reads otherwise.
func TestNetHTTPWatchesByASingleByte(t *testing.T) {
	here, there := net.Pipe()
	c := &recording{Conn: there, reads: make(chan bool, 1000)}
	listener := make(only, 1)
	listener <- c
	close(listener)
	over := make(chan struct{})
	server := http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		one := make([]byte, 1) // however little is wanted at a time
		for {
			if _, err := r.Body.Read(one); err != nil {
				break
			}
		}
		for !<-c.reads { // those before it were of heads and bodies
		}
		if len(c.reads) > 0 {
			t.Error("something is read beside")
		}
		over <- struct{}{}
	})}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	body := strings.Repeat("x", 10_000)
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n" + body,
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n" + body + "\r\n0\r\n\r\n",
	} {
		if _, err := io.WriteString(here, request); err != nil {
			t.Fatal(err)
		}
		<-over
		if _, err := http.ReadResponse(bufio.NewReader(here), nil); err != nil {
			t.Fatal(err)
		}
	}
	here.Close()
}
