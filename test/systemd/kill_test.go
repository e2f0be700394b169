//go:build linux

package systemd_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deputy"
	"deputy/client"
	"deputy/test/rig"
)

// Any part may be killed: tasks live on, each is started once, and its exit code
// is its own, also if it ended while nobody watched.
func TestPartsAreKilled(t *testing.T) {
	s := installed(t)
	// Long enough that what is to end while the service is away does.
	s.dropIn("RestartSec=4")
	for _, test := range []struct {
		name  string
		parts func() []string
		away  bool // systemd starts the service again
	}{
		{"server", func() []string { return []string{s.server()} }, false},
		{"monitor", func() []string { return []string{s.monitor()} }, false},
		{"keeper", func() []string { return []string{s.keeper()} }, true},
		{"monitor-and-server", func() []string { return []string{s.monitor(), s.server()} }, false},
		{"keeper-and-monitor", func() []string { return []string{s.monitor(), s.keeper()} }, true},
		{"all", func() []string { return []string{s.server(), s.monitor(), s.keeper()} }, true},
	} {
		stays, ends := s.begin(test.name+"-stays", 21), s.begin(test.name+"-ends", 22)
		if test.away {
			s.until("NFileDescriptorStore", "2") // those of both; systemd keeps them
		}
		parts := test.parts()
		began := time.Now()
		s.kill(parts...) // the keeper last: its death wakes a stopped monitor
		ends.open()
		if state := s.property("ActiveState"); test.away && state != "activating" {
			t.Errorf("%s: the service was %s when the task had ended, so that shows nothing", test.name, state)
		}
		s.healthy()
		t.Logf("%s: deputy answers %v after the kill", test.name, time.Since(began).Round(time.Millisecond))
		ends.exact()
		stays.runs()
		stays.open()
		stays.exact()
		if n := s.property("NRestarts"); test.away != (n != "0") {
			t.Errorf("%s: systemd has started the service %s times again", test.name, n)
		}
		s.Run("systemctl", "reset-failed", "deputy.service") // NRestarts, too
	}
	s.until("NFileDescriptorStore", "0")
	s.verify()
}

// A task is born, and all that knows of it is killed before its birth is recorded.
// systemd then removes its cgroup, in which nothing lives any more, so the missing
// cgroup does not mean that it never was: it is not started again.
func TestABirthThatWasNotRecorded(t *testing.T) {
	s := installed(t)
	keeper, monitor := s.keeper(), s.monitor()
	s.signal("STOP", keeper) // it is to start no other monitor
	tracer := exec.Command("strace", "-f", "-o", filepath.Join(t.TempDir(), "strace"), "-p", fmt.Sprint(s.PID(monitor)),
		"-e", "trace=fsetxattr", "-e", "inject=fsetxattr:signal=KILL:when=1") // the mark of a birth
	if err := tracer.Start(); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, patience, "the monitor is traced", func() bool { return rig.Status(s.PID(monitor), "TracerPid") != "0" })
	asked, cancel := context.WithCancel(s.context())
	go func() { _, _ = s.c.Call(asked, "m", "short", nil, client.Options{}) }() // who could answer is killed
	rig.Eventually(t, patience, "the monitor is dead", func() bool { return s.PID(monitor) == 0 || rig.State(s.PID(monitor)) == "Z" })
	cancel()
	_ = tracer.Wait() // the task ends, too
	short := work{s: s, name: "short"}
	if n := short.starts(); n != 1 {
		t.Fatalf("the task was started %d times before the kill, so that shows nothing", n)
	}
	s.signal("KILL", keeper)
	s.healthy()
	page, err := s.c.Tasks(s.context(), client.Query{Module: "m", Action: "short"})
	if err != nil || len(page.Tasks) != 1 {
		t.Fatalf("%d tasks, %v", len(page.Tasks), err)
	}
	task, err := s.c.Wait(s.context(), page.Tasks[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if n := short.starts(); n != 1 || task.State != deputy.Unknown {
		t.Errorf("it was started %d times, and ended as %s, exit %s", n, task.State, exit(task))
	}
	s.verify()
}

// A part that hangs for a while delays what is asked, and loses nothing.
func TestPartsHang(t *testing.T) {
	s := installed(t)
	for name, part := range map[string]func() string{"server": s.server, "monitor": s.monitor, "keeper": s.keeper} {
		w, pid := s.begin(name+"-hangs", 31), part()
		s.signal("STOP", pid)
		asked := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(s.context(), patience)
			defer cancel()
			_, err := s.c.Health(ctx)
			asked <- err
		}()
		w.open()
		time.Sleep(2 * time.Second) // it hangs for so long; nothing is waited for
		s.signal("CONT", pid)
		if err := <-asked; err != nil {
			t.Errorf("asked while the %s hung: %v", name, err)
		}
		w.exact()
		if again := part(); again != pid {
			t.Errorf("the %s was replaced: %s by %s", name, pid, again)
		}
	}
	s.verify()
}

// A monitor that hangs for good is noticed by systemd's watchdog.
func TestWatchdog(t *testing.T) {
	s := installed(t)
	s.dropIn("WatchdogSec=3")
	s.Run("systemctl", "restart", "deputy")
	w, keeper, monitor := s.begin("watched", 41), s.keeper(), s.monitor()
	s.signal("STOP", monitor)
	rig.Eventually(t, patience, "the service is started again", func() bool {
		pid := s.keeper()
		return pid != keeper && pid != "0"
	})
	s.healthy()
	if again := s.monitor(); again == monitor { // there is one, and another
		t.Errorf("the monitor that hung, %s, is still there", monitor)
	}
	if text := s.Run("journalctl", "--unit=deputy", "--output=cat"); !strings.Contains(strings.ToLower(text), "watchdog") {
		t.Errorf("the watchdog is not in the log:\n%s", text)
	}
	w.runs()
	w.open()
	w.exact()
	s.verify()
}

// With the socket held by systemd the first who asks starts the service, and
// nobody is refused while it is away.
func TestSocketActivation(t *testing.T) {
	s := newSite(t)
	s.Write("/etc/deputy/modules.d/m.toml", module, 0o644)
	s.Run("deputy", "service", "install")
	s.Run("systemctl", "start", "deputy.socket")
	if state := s.property("ActiveState"); state != "inactive" {
		t.Fatalf("the service is %s before anybody asked", state)
	}
	if mode := s.Run("stat", "--format=%a", socket); mode != "666\n" {
		t.Errorf("the socket's mode is %s", mode)
	}
	if _, err := s.c.Health(s.context()); err != nil { // one request, with no second try
		t.Fatalf("the first who asks: %v", err)
	}
	s.until("ActiveState", "active")
	stop := make(chan struct{})
	refused := make(chan error, 1)
	go func() {
		defer close(refused)
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond): // the backlog is deep, not endless
				conn, err := rig.DialAs(s.Path(socket), 0)
				if err != nil {
					refused <- err
					return
				}
				conn.Close()
			}
		}
	}()
	for range 3 {
		s.Run("systemctl", "restart", "deputy")
	}
	close(stop)
	if err := <-refused; err != nil {
		t.Errorf("while the service was restarted: %v", err)
	}
	// Without the socket unit the service makes its own.
	s.Run("systemctl", "mask", "--now", "deputy.socket")
	s.Run("systemctl", "restart", "deputy")
	s.healthy()
	s.verify()
}

// A task is not the service: what it says to systemd is not heard, and it is told
// nothing of what systemd tells the service.
func TestATaskCannotSpeakForTheService(t *testing.T) {
	s := installed(t)
	run := func(action string) *deputy.Task {
		tasks, err := s.c.Call(s.context(), "m", action, nil, client.Options{Wait: patience, Output: 1 << 16})
		if err != nil {
			t.Fatal(err)
		}
		if action == "environment" {
			for _, name := range []string{"LISTEN_", "WATCHDOG_", "MAINPID", "INVOCATION_ID", "JOURNAL_STREAM", "NOTIFY_SOCKET=/run/systemd"} {
				if strings.Contains(*tasks[0].Stdout, name) {
					t.Errorf("a task is told %s:\n%s", name, *tasks[0].Stdout)
				}
			}
		}
		return &tasks[0].Task
	}
	run("environment")
	before := s.property("StatusText")
	run("forge")
	rig.Eventually(t, patience, "systemd refuses the message", func() bool {
		return strings.Contains(s.Run("journalctl", "--output=cat"), "reception only permitted for main PID")
	})
	if after := s.property("StatusText"); after != before || s.property("ActiveState") != "active" {
		t.Errorf("the service's status was %q and is %q", before, after)
	}
}
