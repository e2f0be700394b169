//go:build linux

package server_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"deputy"
	"deputy/internal/server"
	"deputy/internal/server/monitortest"
	"deputy/internal/wall"
)

// serve runs a server for a monitor until stop is called.
func serve(t *testing.T, m *monitortest.Monitor) (stop func()) {
	t.Helper()
	m.Decide = func(*wall.Request, uint32) wall.Outcome {
		return wall.Outcome{Rights: &deputy.Rights{Auditor: true}}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	sockets := m.Connect(nil)
	go func() {
		ended <- server.Run(ctx, sockets, server.Log{Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Lost: func() uint64 { return 0 }})
	}()
	return func() {
		t.Helper()
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the server ended with: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the server does not end")
		}
	}
}

func count(t *testing.T, m *monitortest.Monitor) int {
	t.Helper()
	c := http.Client{Transport: &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return m.Dial(0), nil },
		DisableKeepAlives: true,
	}, Timeout: 20 * time.Second}
	resp, err := c.Get("http://deputy/v1/tasks?limit=1000")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var page struct{ Tasks []deputy.Task }
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	return len(page.Tasks)
}

// TestSuccessor: a server's successor answers nothing before it knows all that
// the journal held when it came.
func TestSuccessor(t *testing.T) {
	m := monitortest.New(t)
	stop := serve(t, m)
	for range 3 {
		m.Accept("uid:33", "demo", "echo", nil)
	}
	stop()
	for range 500 {
		m.Accept("uid:33", "demo", "echo", nil)
	}
	defer serve(t, m)()
	if n := count(t, m); n != 503 {
		t.Errorf("the first answer shows %d tasks of 503", n)
	}
}

// TestOtherJournal: a history that is ahead of the journal was made from
// another one, and is built anew.
func TestOtherJournal(t *testing.T) {
	m := monitortest.New(t)
	stop := serve(t, m)
	for range 3 {
		m.Accept("uid:33", "demo", "echo", nil)
	}
	if n := count(t, m); n > 3 {
		t.Errorf("%d tasks of 3", n)
	}
	stop()
	fresh := monitortest.New(t)
	fresh.Greeting.HistoryDir = m.Greeting.HistoryDir
	fresh.Accept("uid:33", "demo", "echo", nil)
	defer serve(t, fresh)()
	if n := count(t, fresh); n != 1 {
		t.Errorf("%d tasks of 1", n)
	}
}
