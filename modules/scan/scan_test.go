//go:build linux

// Package scan_test runs scan.py as a task would be run.
package scan_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// python is the interpreter that the tests run scan.py with.
func python(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("needs python3: install it")
	}
	return path
}

func script(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(python(t), append([]string{"scan.py"}, args...)...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8"}
	return cmd
}

func TestCountsAndTellsProgress(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cmd := script(t, "-t", "7", "--steps", "3", "--interval", "0.05", "--children", "2")
	cmd.Env = append(cmd.Env, "DEPUTY_NOTIFY_SOCKET="+socket)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	stamp := regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ `)
	want := "scan 7: started, 3 steps, 4 helpers\nscan 7: step 1 of 3\nscan 7: step 2 of 3\nscan 7: step 3 of 3\nscan 7: done\n"
	if got := stamp.ReplaceAllString(string(out), ""); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	buf := make([]byte, 1000)
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	for step, percent := range []string{"33.3", "66.7", "100.0"} {
		n, err := conn.Read(buf)
		want := fmt.Sprintf("STATUS=step %d of 3\nX_PERCENT=%s", step+1, percent)
		if err != nil || string(buf[:n]) != want {
			t.Errorf("told %q, %v; want %q", buf[:n], err, want)
		}
	}
}

// TestLinesAreFlushed: a line is there as soon as its step is done, and a
// notify socket on which nobody listens is no reason to fail.
func TestLinesAreFlushed(t *testing.T) {
	cmd := script(t, "-t", "1", "--steps", "3600", "--interval", "0.01")
	cmd.Env = append(cmd.Env, "DEPUTY_NOTIFY_SOCKET="+filepath.Join(t.TempDir(), "nobody"))
	lines := start(t, cmd)
	for _, want := range []string{"started", "step 1 of 3600", "step 2 of 3600"} {
		if !lines.Scan() || !strings.Contains(lines.Text(), want) {
			t.Errorf("%q, want %q", lines.Text(), want)
		}
	}
	stop(t, cmd, lines)
}

// start starts cmd and gives its stdout; it is killed at the end of the test.
func start(t *testing.T, cmd *exec.Cmd) *bufio.Scanner {
	t.Helper()
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return bufio.NewScanner(pipe)
}

// stop sends SIGTERM and checks the last line and the exit status.
func stop(t *testing.T, cmd *exec.Cmd, lines *bufio.Scanner) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	last := ""
	for lines.Scan() {
		last = lines.Text()
		if strings.Contains(last, "told to stop after step") {
			break // helpers may hold the pipe open
		}
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 143 || !strings.Contains(last, "told to stop") {
		t.Errorf("exit status %d, last line %q", code, last)
	}
}

// TestChildrenOutliveAStop: the helpers are what a stop of the first process
// alone does not end.
func TestChildrenOutliveAStop(t *testing.T) {
	cmd := script(t, "-t", "1", "--steps", "60", "--children", "3")
	cmd.Env = append(cmd.Env, "DEPUTY_TEST=children-of-"+strconv.Itoa(os.Getpid()))
	lines := start(t, cmd)
	if !lines.Scan() {
		t.Fatal("no first line")
	}
	deadline := time.Now().Add(10 * time.Second)
	for len(helpers(t)) != 7 { // itself, and 3 × 2
		if time.Now().After(deadline) {
			t.Fatalf("%d processes", len(helpers(t)))
		}
		time.Sleep(5 * time.Millisecond)
	}
	stop(t, cmd, lines)
	left := helpers(t)
	if len(left) != 6 {
		t.Errorf("%d processes are left", len(left))
	}
	for _, pid := range left {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

// helpers lists the processes that carry this test's mark in their environment.
func helpers(t *testing.T) (pids []int) {
	t.Helper()
	mark := []byte("DEPUTY_TEST=children-of-" + strconv.Itoa(os.Getpid()))
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if environ, err := os.ReadFile("/proc/" + entry.Name() + "/environ"); err == nil && bytes.Contains(environ, mark) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestWrongArguments(t *testing.T) {
	for _, args := range [][]string{{}, {"-t", "0"}, {"-t", "x"}, {"-t", "1", "--steps", "0"}, {"-t", "1", "--children", "-1"}, {"-t", "1", "--interval", "0"}, {"-t", "1", "extra"}} {
		cmd := script(t, args...)
		cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
		cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != 2 {
			t.Errorf("%q: exit status %d", args, code)
		}
	}
}
