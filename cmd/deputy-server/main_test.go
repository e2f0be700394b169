//go:build linux

package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/internal/server/monitortest"
	"deputy/internal/wall"
)

// The tests run this program again as deputy-server.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_DEPUTY_SERVER") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = []string{"TEST_DEPUTY_SERVER=1"}
	return cmd
}

func TestAlone(t *testing.T) {
	out, err := command().CombinedOutput()
	if err == nil || !strings.Contains(string(out), "cannot start alone") {
		t.Errorf("%v: %s", err, out)
	}
	out, err = command("--listen").CombinedOutput()
	if err == nil || !strings.Contains(string(out), `cannot use \"--listen\"`) {
		t.Errorf("%v: %s", err, out)
	}
	out, err = command("--version").CombinedOutput()
	if err != nil || string(out) != "deputy-server "+deputy.Version+"\n" {
		t.Errorf("%v: %s", err, out)
	}
}

// start runs deputy-server for a monitor.
func start(t *testing.T, m *monitortest.Monitor) *exec.Cmd {
	t.Helper()
	s := m.Connect(nil)
	cmd := command()
	cmd.Stderr = t.Output()
	cmd.ExtraFiles = []*os.File{s.Stream, s.Door, s.Notify}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	return cmd
}

// TestKilled: a server that is killed at any time is soon back, and knows
// everything.
func TestKilled(t *testing.T) {
	m := monitortest.New(t)
	m.Decide = func(*wall.Request, uint32) wall.Outcome { return wall.Outcome{} }
	cmd := start(t, m)
	var times []time.Duration
	for range 10 {
		for range 200 {
			m.Accept("uid:33", "demo", "echo", nil)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		began := time.Now()
		cmd = start(t, m)
		last := m.Accept("uid:33", "demo", "echo", nil)
		c := http.Client{Transport: &http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) { return m.Dial(33), nil }, DisableKeepAlives: true,
		}}
		for _, target := range []string{"/v1/actions", "/v1/tasks/" + last} {
			resp, err := c.Get("http://deputy" + target)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != 200 {
				t.Fatalf("%s: %d %s", target, resp.StatusCode, text)
			}
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	if median := times[len(times)/2]; median > time.Second {
		t.Errorf("back after %v", times)
	}
	t.Logf("back after %v to %v", times[0], times[len(times)-1])
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("SIGTERM is not a quiet end: %v", err)
	}
}
