//go:build linux

package keeper_test

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stage is a keeper with its monitor and their directory.
type stage struct {
	t    *testing.T
	dir  string
	cmd  *exec.Cmd
	over chan struct{}

	extra []*os.File // passed to the keeper as a service manager passes them
	names string     // of these, with colons between

	patience time.Duration // for each event; zero: a minute
}

// raise starts a keeper whose monitor starts the tasks, "LEAF SCRIPT" each.
// The files are those that the monitor obeys.
func raise(t *testing.T, tasks []string, files ...string) *stage {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: run as root")
	}
	s := &stage{t: t, dir: t.TempDir()}
	s.put("tasks", strings.Join(tasks, "\n"))
	for _, f := range files {
		s.put(f, "")
	}
	s.start()
	t.Cleanup(func() {
		if t.Failed() {
			notes, _ := os.ReadFile(s.dir + "/notes")
			t.Logf("keeper says: %s\nnotes: %s", s.said(), notes)
		}
		_ = s.cmd.Process.Kill()
	})
	return s
}

func (s *stage) start() {
	s.t.Helper()
	self, _ := os.Executable()
	said, err := os.OpenFile(s.dir+"/said", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer said.Close()
	s.cmd, s.over = exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, self, "@keeper", s.dir), make(chan struct{})
	s.cmd.Stderr = said
	if s.cmd.ExtraFiles = s.extra; s.extra != nil {
		s.cmd.Env = append(os.Environ(), fmt.Sprint("LISTEN_FDS=", len(s.extra)), "LISTEN_FDNAMES="+s.names)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, over chan struct{}) { _ = cmd.Wait(); close(over) }(s.cmd, s.over)
}

// said is what the keeper and its monitors wrote to stderr.
func (s *stage) said() string {
	text, _ := os.ReadFile(s.dir + "/said")
	return string(text)
}

func (s *stage) put(file, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, file), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) remove(file string) { _ = os.Remove(filepath.Join(s.dir, file)) }

func (s *stage) until(what string, ok func() bool) {
	s.t.Helper()
	patience := cmp.Or(s.patience, time.Minute)
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// note waits for the n-th note (from 1) of this kind and name; name "" is any.
func (s *stage) note(n int, what, name string) (found note) {
	s.t.Helper()
	s.until(fmt.Sprint(n, " ", what, " ", name), func() bool {
		count := 0
		for _, each := range readNotes(s.dir) {
			if each.What == what && (name == "" || each.Name == name) {
				if count++; count == n {
					found = each
				}
			}
		}
		return count >= n
	})
	return found
}

func (s *stage) count(what, name string) (n int) {
	for _, each := range readNotes(s.dir) {
		if each.What == what && (name == "" || each.Name == name) {
			n++
		}
	}
	return n
}

// fall ends the keeper by SIGTERM and checks that nothing is left.
func (s *stage) fall() {
	s.t.Helper()
	_ = s.cmd.Process.Signal(unix.SIGTERM)
	s.ends(0)
	cgroups, _ := filepath.Glob("/sys/fs/cgroup/*/deputy-" + instance(s.dir))
	pure, _ := filepath.Glob("/sys/fs/cgroup/deputy-" + instance(s.dir))
	if left := append(cgroups, pure...); len(left) > 0 {
		s.t.Errorf("cgroups are left: %v", left)
	}
	for _, n := range readNotes(s.dir) {
		if n.What == "started" && unix.Kill(n.Attempt.PID, 0) == nil {
			s.t.Errorf("process %d of %s is left", n.Attempt.PID, n.Name)
		}
		if n.What == "error" {
			s.t.Errorf("monitor: %s", n.Name)
		}
	}
}

func (s *stage) ends(code int) {
	s.t.Helper()
	select {
	case <-s.over:
	case <-time.After(time.Minute):
		s.t.Fatal("the keeper does not end")
	}
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("the keeper's exit code is %d, want %d", got, code)
	}
}

// stateOf is a process's state in /proc/PID/stat, "" if it is gone.
func stateOf(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(text), ") ")
	state, _, _ := strings.Cut(after, " ")
	return state
}

const waits = "while [ ! -e go ]; do sleep 0.01; done; "

// The monitor is killed; its tasks end while none lives. The next one has the
// exact end of each, and of the listening socket no connection was refused.
func TestTasksOutliveTheMonitor(t *testing.T) {
	s := raise(t, []string{"seven.1 " + waits + "exit 7", "killed.1 " + waits + "kill -KILL $$", "lives.1 exec sleep 1000",
		"leaves.1 " + waits + "sleep 1000 & exit 3", "early.1 exit 1"})
	first := s.note(1, "ready", "")
	s.note(1, "empty", "early.1")
	s.note(1, "exited", "early.1")
	pids := map[string]int{}
	for _, leaf := range []string{"seven.1", "killed.1", "lives.1", "leaves.1"} {
		pids[leaf] = s.note(1, "started", leaf).Attempt.PID
	}
	s.put("absent", "")
	if err := unix.Kill(first.Monitor, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.note(2, "born", "")
	s.put("go", "")
	for _, leaf := range []string{"seven.1", "killed.1", "leaves.1"} {
		s.until(leaf+" is a zombie that waits for the next monitor", func() bool { return stateOf(pids[leaf]) == "Z" })
	}
	door, err := net.Dial("unix", s.dir+"/door")
	if err != nil {
		t.Fatalf("refused while no monitor is ready: %v", err)
	}
	s.remove("absent")
	second := s.note(2, "ready", "")
	if answer, _ := io.ReadAll(door); string(answer) != fmt.Sprint(second.Monitor) {
		t.Errorf("answered by %q, want monitor %d", answer, second.Monitor)
	}
	for leaf, exit := range map[string]string{"seven.1": `{"code":7}`, "killed.1": `{"signal":"SIGKILL"}`, "leaves.1": `{"code":3}`} {
		if n := s.note(1, "exited", leaf); n.Exit != exit || n.Monitor != second.Monitor {
			t.Errorf("%s: %s by %d, want %s by %d", leaf, n.Exit, n.Monitor, exit, second.Monitor)
		}
		s.note(1, "empty", leaf)
		s.until(leaf+" is reaped", func() bool { return stateOf(pids[leaf]) == "" })
	}
	if dead(pids["lives.1"]) || s.count("exited", "lives.1") > 0 {
		t.Error("the living task did not live on")
	}
	if s.count("adopted", "early.1") > 0 {
		t.Error("a task that had ended was adopted")
	}
	s.fall()
	if n := s.note(1, "exited", "lives.1"); n.Exit != `{"signal":"SIGKILL"}` {
		t.Errorf("lives.1: %s", n.Exit)
	}
}

// An exit that a monitor was told, and did not live to journal, is told again.
func TestExitIsToldUntilDone(t *testing.T) {
	s := raise(t, []string{"five.1 " + waits + "exit 5"}, "amnesia")
	s.note(1, "started", "five.1")
	s.put("forgetful", "")
	_ = unix.Kill(s.note(1, "ready", "").Monitor, unix.SIGKILL)
	s.note(2, "ready", "")
	s.put("go", "")
	s.note(1, "exited", "five.1")
	_ = unix.Kill(s.note(2, "ready", "").Monitor, unix.SIGKILL)
	s.remove("forgetful") // after the kill: the one that is to forget may still be about to look
	if n := s.note(2, "exited", "five.1"); n.Exit != `{"code":5}` {
		t.Errorf("told again as %s", n.Exit)
	}
	s.remove("amnesia")
	_ = unix.Kill(s.note(3, "ready", "").Monitor, unix.SIGKILL)
	s.note(4, "ready", "")
	s.fall()
	if n := s.count("exited", "five.1"); n != 2 {
		t.Errorf("told %d times, want 2: it was done", n)
	}
}

func TestMonitorThatCannotRun(t *testing.T) {
	s := raise(t, nil, "fail")
	s.ends(42)
	if n := s.count("born", ""); n != 1 {
		t.Errorf("%d monitors were started, want 1", n)
	}
}

func TestMonitorKilledBeforeReady(t *testing.T) {
	s := raise(t, nil, "absent")
	_ = unix.Kill(s.note(1, "born", "").Monitor, unix.SIGKILL)
	s.ends(128 + 9)
}

// A monitor that keeps crashing is restarted at once, then ever later; an order
// to end that comes meanwhile reaches the next one that is ready.
func TestRestartsBackOff(t *testing.T) {
	s := raise(t, nil, "crash")
	for n, least := range []time.Duration{0, 0, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond} {
		if n == 0 {
			continue
		}
		crashed, born := s.note(n, "ready", ""), s.note(n+1, "born", "")
		if pause := born.At.Sub(crashed.At); pause < least || n == 1 && pause > 5*time.Second {
			t.Errorf("restart %d came after %v, want at least %v", n, pause, least)
		}
	}
	s.note(5, "ready", "")
	s.until("the fifth has crashed", func() bool { return strings.Count(s.said(), "exit code 4") >= 5 })
	s.remove("crash")
	s.fall()
	if n := s.note(1, "signal", "SIGTERM"); n.Monitor != s.note(6, "ready", "").Monitor {
		t.Error("the order to end did not reach the sixth")
	}
}

func TestSignalsArePassedOn(t *testing.T) {
	s := raise(t, nil)
	s.note(1, "ready", "")
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGUSR2} {
		_ = s.cmd.Process.Signal(sig)
		s.note(1, "signal", unix.SignalName(sig))
	}
	s.fall()
}

// There are never two: a monitor whose keeper died ends. The next keeper's
// monitor finds the task again.
func TestKeeperIsKilled(t *testing.T) {
	s := raise(t, []string{"lives.1 exec sleep 1000"})
	old := s.note(1, "started", "lives.1")
	_ = s.cmd.Process.Kill()
	s.note(1, "lost", "")
	s.until("the monitor has ended", func() bool { state := stateOf(old.Monitor); return state == "" || state == "Z" })
	_ = os.Remove(s.dir + "/door")
	s.start()
	s.note(1, "adopted", "lives.1")
	s.note(2, "ready", "")
	if dead(old.Attempt.PID) {
		t.Error("the task did not live on")
	}
	s.fall()
}

// Orphans of double forks come to the keeper by the thousand; none stays.
func TestOrphansAreReaped(t *testing.T) {
	s := raise(t, []string{"forks.1 i=0; while [ $i -lt 3000 ]; do (: & ); i=$((i+1)); done; exit 6"})
	s.patience = 5 * time.Minute // for 6,000 births on a machine that does much else
	if n := s.note(1, "exited", "forks.1"); n.Exit != `{"code":6}` {
		t.Errorf("exit is %s", n.Exit)
	}
	s.note(1, "empty", "forks.1")
	s.until("no zombie is left", func() bool {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.cmd.Process.Pid))
		var children []string
		for _, file := range files {
			text, _ := os.ReadFile(file)
			children = append(children, strings.Fields(string(text))...)
		}
		return len(children) == 1 // the monitor
	})
	s.fall()
}

// dead says whether a process is gone or a zombie.
func dead(pid int) bool {
	state := stateOf(pid)
	return state == "" || state == "Z"
}
