//go:build linux

package httpapi

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/internal/request"
	"deputy/internal/server/asker"
	"deputy/internal/server/share"
	"deputy/internal/signature"
	"deputy/internal/wall"
)

// pause is a verb that there is not, with its route.
const pause wall.Kind = 63

func pauseRoute() request.Route {
	return request.Route{
		Method: "POST", Path: "/v1/pause", Verb: pause,
		Read: func(_ request.Target, body []byte, _ request.Limit) (wall.Request, error) {
			return wall.Request{On: string(body) == `{"on":true}`}, nil
		},
		Answer: func(o *wall.Outcome) any { return map[string]string{"paused": o.Digest} },
		Status: http.StatusAccepted,
	}
}

// operators is a monitor that has the verb, for connection 1 and the key boss.
type operators struct{ asked chan wall.Request }

func (m *operators) Do(_ context.Context, r wall.Request) (wall.Outcome, error) {
	m.asked <- r
	switch {
	case r.Kind == wall.Signed:
		return wall.Outcome{Rights: &deputy.Rights{Caller: "key:boss", Operator: true}, Digest: "all"}, nil
	case r.Kind == pause && r.Connection == 1:
		return wall.Outcome{Digest: "all"}, nil
	}
	return wall.Outcome{Error: deputy.Refuse(deputy.NotAllowed, "only an operator may")}, nil
}

// doorway passes each connection on that a test has made.
type doorway struct {
	made chan *os.File
	next uint64
}

func (d *doorway) Receive() (wall.Connection, *os.File, error) {
	file, ok := <-d.made
	if !ok {
		return wall.Connection{}, nil, errors.New("closed")
	}
	d.next++
	return wall.Connection{Number: d.next, UID: 33}, file, nil
}

func (d *doorway) Close() error { close(d.made); return nil }

func (d *doorway) dial(t *testing.T) net.Conn {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), "client")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	d.made <- os.NewFile(uintptr(fds[1]), "server")
	return c
}

// A verb of operators that is a line of the table is served over HTTP as it says, and
// passed on whole where it is signed; a refusal of the monitor's is told.
func TestAnOperatorsVerbIsServedByItsLine(t *testing.T) {
	m, ready := &operators{make(chan wall.Request, 8)}, make(chan struct{})
	close(ready)
	greeting, log := &wall.Greeting{Name: "gate1"}, slog.New(slog.NewTextHandler(t.Output(), nil))
	api := New(Config{
		Askers: asker.New(m, nil, greeting), Monitor: m, Asks: request.Routes(pauseRoute()), Greeting: greeting, Ready: ready,
		Log: log, Local: share.NewBodies(), Network: share.NewBodies(),
	})
	door := &doorway{made: make(chan *os.File, 2)}
	network, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, ended := NewServer(api), make(chan error, 2)
	go func() { ended <- server.Serve(NewListener(door, log)) }()
	go func() { ended <- server.Serve(OnTCP(network, Remote{Name: "gate1"})) }()

	const body = `{"on":true}`
	post := func(c net.Conn, method string, heads ...string) (int, string) {
		t.Helper()
		defer c.Close()
		text := method + " /v1/pause HTTP/1.1\r\nHost: gate1\r\nContent-Length: 11\r\n" + strings.Join(heads, "") + "\r\n" + body
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		said, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(said)
	}
	if status, said := post(door.dial(t), "POST"); status != http.StatusAccepted || said != `{"paused":"all"}`+"\n" {
		t.Errorf("an operator: %d %s", status, said)
	}
	if r := <-m.asked; r.Kind != pause || !r.On || r.Connection != 1 {
		t.Errorf("asked %+v", r)
	}
	if status, said := post(door.dial(t), "POST"); status != http.StatusForbidden || !strings.Contains(said, "only an operator may") {
		t.Errorf("another: %d %s", status, said)
	}
	<-m.asked
	if status, said := post(door.dial(t), "PUT"); status != http.StatusMethodNotAllowed {
		t.Errorf("by another method: %d %s", status, said)
	}
	proof := signature.Sign("boss", []byte("a secret"), time.Now().Unix(), signature.Request{
		Method: "POST", Audience: "gate1", Target: "/v1/pause", Body: []byte(body),
	}).String()
	c, err := net.Dial("tcp", network.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if status, said := post(c, "POST", "Authorization: "+proof+"\r\n"); status != http.StatusAccepted || said != `{"paused":"all"}`+"\n" {
		t.Errorf("signed: %d %s", status, said)
	}
	if last := <-m.asked; last.Kind != wall.Signed || last.Target != "/v1/pause" || string(last.Body) != body || last.Authorization != proof {
		t.Errorf("signed it was passed on as %+v", last)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	<-ended
	<-ended
}
