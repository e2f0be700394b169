//go:build linux

package test

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"deputy/test/rig"
)

// linger has a user without a rule send sockets whose close waits for an hour, as many as are said,
// and keep what it has until the end of the test.
func linger(t *testing.T, socket string, times int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(rig.Programs(t), "caller"), "linger", socket, strconv.Itoa(times))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4, Gid: 4, Groups: []uint32{}}}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(said).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the caller says %q, %v", line, err)
	}
}

// A descriptor that comes with a connection's bytes is nobody's: that its close waits as long as
// its sender likes holds up neither who accepts nor who reads.
func TestSocketsThatLingerHoldUpNobody(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, limitModule, rig.Files{"deputy.toml": ""})
	monitor := d.Part("monitor")
	if err := syscall.Kill(monitor, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	linger(t, d.Socket, 600) // more than one user may have, so that some are closed as soon as they are accepted
	if err := syscall.Kill(monitor, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if answers := flood(t, d, 3, "visit", 10)(); answers[200] != 10 {
		t.Errorf("another user: %v", answers)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("ten visits of another user took %v", took)
	}
}
