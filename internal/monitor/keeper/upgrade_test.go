//go:build linux

package keeper_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// upgrade orders it, and gives the note of the new monitor's birth.
func (s *stage) upgrade(n int) note {
	s.t.Helper()
	_ = s.cmd.Process.Signal(unix.SIGUSR2)
	return s.note(n, "born", "")
}

// executed says whether the keeper is an image that was executed by another.
func (s *stage) executed() bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.cmd.Process.Pid))
	return bytes.Contains(text, []byte("\x00DEPUTY_KEEPER="))
}

// Keeper and monitor execute themselves; tasks end while no monitor is ready.
// They are children of the monitor still, and their exits exact. No connection
// is refused, no signal lost.
func TestUpgrade(t *testing.T) {
	s := raise(t, []string{"seven.1 " + waits + "exit 7", "killed.1 " + waits + "kill -KILL $$", "lives.1 exec sleep 1000",
		"leaves.1 " + waits + "sleep 1000 & exit 3", "early.1 exit 1"}, "upgrade")
	first := s.note(1, "ready", "")
	s.note(1, "empty", "early.1")
	pids := map[string]int{}
	for _, leaf := range []string{"seven.1", "killed.1", "lives.1", "leaves.1"} {
		pids[leaf] = s.note(1, "started", leaf).Attempt.PID
	}
	s.put("absent", "")
	if second := s.upgrade(2); second.Monitor != first.Monitor || !s.executed() {
		t.Errorf("the monitor was %d and is %d; the keeper is another image: %v", first.Monitor, second.Monitor, s.executed())
	}
	_ = s.cmd.Process.Signal(unix.SIGHUP)
	s.put("go", "")
	for _, leaf := range []string{"seven.1", "killed.1", "leaves.1"} {
		s.until(leaf+" is a zombie that waits for the new monitor", func() bool { return stateOf(pids[leaf]) == "Z" })
	}
	door, err := net.Dial("unix", s.dir+"/door")
	if err != nil {
		t.Fatalf("refused while no monitor is ready: %v", err)
	}
	s.remove("absent")
	s.note(2, "ready", "")
	if answer, _ := io.ReadAll(door); string(answer) != fmt.Sprint(first.Monitor) {
		t.Errorf("answered by %q, want monitor %d", answer, first.Monitor)
	}
	for leaf, exit := range map[string]string{"seven.1": `{"code":7}`, "killed.1": `{"signal":"SIGKILL"}`, "leaves.1": `{"code":3}`} {
		if n := s.note(1, "exited", leaf); n.Exit != exit {
			t.Errorf("%s: %s, want %s", leaf, n.Exit, exit)
		}
		s.note(1, "empty", leaf)
		s.until(leaf+" is reaped", func() bool { return stateOf(pids[leaf]) == "" })
	}
	s.note(1, "signal", "SIGHUP")
	if dead(pids["lives.1"]) || s.count("exited", "lives.1") > 0 {
		t.Error("the living task did not live on")
	}
	s.upgrade(3)
	s.note(3, "ready", "")
	s.fall()
	if n := s.note(1, "exited", "lives.1"); n.Exit != `{"signal":"SIGKILL"}` {
		t.Errorf("lives.1: %s", n.Exit)
	}
}

// A new program that dies at once is started again by the keeper, which told of
// what ended before and after. An order to end that came meanwhile is obeyed.
func TestUpgradeThatDies(t *testing.T) {
	s := raise(t, []string{"five.1 " + waits + "exit 5", "six.1 while [ ! -e on ]; do sleep 0.01; done; exit 6"}, "upgrade")
	s.note(1, "ready", "")
	five, six := s.note(1, "started", "five.1").Attempt.PID, s.note(1, "started", "six.1").Attempt.PID
	s.put("absent", "")
	s.upgrade(2)
	s.put("go", "")
	s.until("one ends before its new monitor dies", func() bool { return stateOf(five) == "Z" })
	s.put("fail", "")
	s.remove("absent")
	s.note(4, "born", "")
	s.put("on", "")
	s.until("one ends after that", func() bool { return stateOf(six) == "Z" })
	s.remove("fail")
	for leaf, exit := range map[string]string{"five.1": `{"code":5}`, "six.1": `{"code":6}`} {
		if n := s.note(1, "exited", leaf); n.Exit != exit {
			t.Errorf("%s: %s, want %s", leaf, n.Exit, exit)
		}
	}
	s.fall()
}

// An exit that was told and is not done when the keeper executes itself is told
// by its new image.
func TestUpgradeCarriesExits(t *testing.T) {
	s := raise(t, []string{"five.1 " + waits + "exit 5"}, "amnesia", "forgetful")
	s.note(1, "started", "five.1")
	_ = unix.Kill(s.note(1, "ready", "").Monitor, unix.SIGKILL) // now the task is the keeper's
	s.note(2, "ready", "")
	s.put("go", "")
	s.note(1, "exited", "five.1")
	s.put("upgrade", "")
	s.remove("forgetful")
	s.upgrade(3)
	if n := s.note(2, "exited", "five.1"); n.Exit != `{"code":5}` {
		t.Errorf("told again as %s", n.Exit)
	}
	s.remove("amnesia")
	s.upgrade(4)
	s.note(4, "ready", "")
	s.fall()
	if n := s.count("exited", "five.1"); n != 2 {
		t.Errorf("told %d times, want 2: it was done", n)
	}
}

// A monitor that is stopped when its keeper is killed ends all the same.
func TestAStoppedMonitorEndsWithItsKeeper(t *testing.T) {
	s := raise(t, nil)
	old := s.note(1, "ready", "")
	_ = unix.Kill(old.Monitor, unix.SIGSTOP)
	s.until("it is stopped", func() bool { return stateOf(old.Monitor) == "T" })
	_ = s.cmd.Process.Kill()
	s.note(1, "lost", "")
	s.until("the monitor has ended", func() bool { return dead(old.Monitor) })
	_ = os.Remove(s.dir + "/door")
	s.start()
	s.note(2, "ready", "")
	s.fall()
}
