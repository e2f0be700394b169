//go:build linux

package wine

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/client"
)

// TestTheOriginalsFlow is the life of the original daemon as a Windows service:
// installed, started, asked by its clients from near and far, restarted with
// work under way, stopped, removed.
func TestTheOriginalsFlow(t *testing.T) {
	m := windows(t)
	s := install(t, m)
	s.state(t, 3, `"running":false`)
	s.start(t)
	s.state(t, 0, `"running":true`)

	first := only(t, s.ask(t, message("start", "1")))
	s.lives(t, "1", 5)
	if again := only(t, s.askFromWindows(t, message("start", "1"))); again != first {
		t.Errorf("asked again it is task %s, not %s", again, first)
	}
	if stopped := only(t, s.askFromWindows(t, message("stop", "1"))); stopped != first {
		t.Errorf("it stopped %s, not %s", stopped, first)
	}
	s.lives(t, "1", 0)
	if task := s.task(t, first, true); task.State != deputy.Stopped || task.Stop == nil || !task.Stop.Empty || task.Stop.Killed != 5 || task.Stop.Proof != "job" {
		t.Errorf("it ended as %+v with the receipt %+v", task, task.Stop)
	}

	second := only(t, s.askFromWindows(t, message("start", "2")))
	s.lives(t, "2", 5)
	before := s.Processes("-t", "2")
	m.Do(t, `w:\deputy.exe`, "service", "restart")
	s.answers(t)
	s.state(t, 0, `"running":true`)
	if after := s.Processes("-t", "2"); len(after) != 1 || after[0] != before[0] {
		t.Errorf("after the restart process %v works, before it was %v", after, before)
	}
	if task := s.task(t, second, false); task.State != deputy.Running {
		t.Errorf("after the restart it is %s", task.State)
	}
	if stopped := only(t, s.ask(t, message("stop", "2"))); stopped != second {
		t.Errorf("it stopped %s, not %s", stopped, second)
	}
	s.lives(t, "2", 0)
	if task := s.task(t, second, true); task.State != deputy.Stopped || task.Stop.Killed != 5 {
		t.Errorf("it ended as %+v with the receipt %+v", task, task.Stop)
	}

	m.Do(t, `w:\scan.exe`, "pause")
	s.drains(t, true)
	if answer := s.ask(t, message("start", "3")); !strings.Contains(answer, "deputy is draining") {
		t.Errorf("paused, it answers %s", answer)
	}
	m.Do(t, `w:\scan.exe`, "continue")
	s.drains(t, false)
	only(t, s.ask(t, message("start", "3")))
	s.lives(t, "3", 5)
	only(t, s.ask(t, message("stop", "3")))
	s.lives(t, "3", 0)

	m.Do(t, `w:\deputy.exe`, "service", "stop")
	s.state(t, 3, `"running":false`)
	m.Do(t, `w:\deputy.exe`, "service", "remove")
	s.state(t, 4, `"installed":false`)
	if _, err := os.Stat(m.Path("ProgramData/deputy/state/journal")); err != nil {
		t.Errorf("the journal went with the service: %v", err)
	}
	m.Do(t, `w:\deputy.exe`, "service", "remove", "--purge")
	if _, err := os.Stat(m.Path("ProgramData/deputy")); err == nil {
		t.Error("remove --purge left the data")
	}
}

// drains waits until it takes nothing new, or requests again.
func (s *site) drains(t *testing.T, want bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := waitFor(time.Minute, func() bool { h, err := s.client.Health(ctx); return err == nil && h.Draining == want }); err != nil {
		t.Fatalf("draining is not %v: %v", want, err)
	}
}

// state asks the command line how the service stands.
func (s *site) state(t *testing.T, code int, want string) {
	t.Helper()
	got, out := s.Run(t, time.Minute, `w:\deputy.exe`, "service", "status", "--json")
	if got != code || !strings.Contains(strings.ReplaceAll(out, " ", ""), want) {
		t.Fatalf("service status ended with %d, not %d: %s", got, code, out)
	}
}

// TestTasksOutliveDeputy: whatever dies of deputy, tasks live on, and those that
// end meanwhile keep their exact exit codes.
func TestTasksOutliveDeputy(t *testing.T) {
	m := windows(t)
	s := install(t, m)
	s.start(t)
	defer m.Do(t, `w:\deputy.exe`, "service", "remove", "--purge")
	tree := only(t, s.ask(t, message("start", "7")))
	s.lives(t, "7", 5)

	t.Run("the monitor is killed", func(t *testing.T) {
		ends, later := s.exit(t, 200, "1s"), s.exit(t, 201, "10s")
		s.kill(t, "--role", "monitor", "--service")
		s.answers(t)
		s.exited(t, ends, 200)
		s.exited(t, later, 201)
	})
	t.Run("the service is stopped", func(t *testing.T) {
		ends, later := s.exit(t, 202, "1s"), s.exit(t, 203, "20s")
		m.Do(t, `w:\deputy.exe`, "service", "stop")
		if err := waitFor(time.Minute, func() bool { return len(s.Processes("exit", "202", "1s")) == 0 }); err != nil {
			t.Fatal(err)
		}
		s.start(t)
		s.exited(t, ends, 202)
		s.exited(t, later, 203)
		if holders := s.Processes("--role", "holder"); len(holders) > 0 {
			t.Errorf("a holder is left: %v", holders)
		}
	})
	t.Run("all of deputy is killed", func(t *testing.T) {
		later := s.exit(t, 204, "40s")
		s.kill(t, "deputyd.exe", "--service")
		if err := waitFor(time.Minute, func() bool { return len(s.Processes("--role", "monitor", "--service")) == 0 }); err != nil {
			t.Fatal("a monitor lives without its keeper: ", err)
		}
		if err := waitFor(time.Minute, func() bool {
			_, out := s.Run(t, time.Minute, `w:\deputy.exe`, "service", "status")
			return strings.Contains(out, "stopped")
		}); err != nil {
			t.Fatal(err)
		}
		s.start(t)
		s.exited(t, later, 204)
	})

	if out := m.Do(t, `w:\deputy.exe`, "ps", "--json"); !strings.Contains(out, tree) {
		t.Errorf("deputy ps does not show what lives:\n%s", out)
	}
	m.Do(t, `w:\deputy.exe`, "stop", tree)
	s.lives(t, "7", 0)
	if task := s.task(t, tree, true); task.State != deputy.Stopped || task.Stop.Killed != 5 {
		t.Errorf("it ended as %+v with the receipt %+v", task, task.Stop)
	}
}

// exit starts a task that exits with a code after a while, and waits until it runs.
func (s *site) exit(t *testing.T, code int, after string) string {
	t.Helper()
	id := s.call(t, "exit", map[string]any{"code": code, "after": after})
	if err := waitFor(time.Minute, func() bool { return s.task(t, id, false).Started != nil }); err != nil {
		t.Fatal(err)
	}
	return id
}

// exited waits for a task's end and says whether its exit code is exact.
func (s *site) exited(t *testing.T, id string, code int) {
	t.Helper()
	if task := s.task(t, id, true); task.Exit == nil || task.Exit.Code == nil || *task.Exit.Code != code {
		t.Errorf("a task that exited with %d ended as %+v: %v", code, task.Exit, task.Reason)
	}
}

// kill kills the one process whose command line ends so.
func (s *site) kill(t *testing.T, args ...string) {
	t.Helper()
	pids := s.Processes(args...)
	if len(pids) != 1 {
		t.Fatalf("the processes %v are %v, not one", args, pids)
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// call asks for an action of the module over the signed HTTP door.
func (s *site) call(t *testing.T, action string, params map[string]any) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tasks, err := s.client.Call(ctx, "SCAN_MODULE", action, params, client.Options{IdempotencyKey: t.Name() + action + params["after"].(string)})
	if err != nil {
		t.Fatal(err)
	}
	return tasks[0].ID
}

// TestLocalCallers: the command line over the pipe, as the caller that its token
// proves.
func TestLocalCallers(t *testing.T) {
	m := windows(t)
	s := install(t, m)
	s.start(t)
	defer m.Do(t, `w:\deputy.exe`, "service", "remove", "--purge")

	code, out := m.Run(t, time.Minute, `w:\deputy.exe`, "run", "SCAN_MODULE", "exit", "code=77", "after=10ms")
	if code != 77 {
		t.Errorf("deputy run ended with %d, not 77:\n%s", code, out)
	}
	var page struct{ Tasks []deputy.Task }
	if err := json.Unmarshal([]byte(m.Do(t, `w:\deputy.exe`, "ps", "-a", "--json")), &page); err != nil || len(page.Tasks) != 1 {
		t.Fatalf("deputy ps -a shows %+v: %v", page, err)
	}
	if sid, ok := page.Tasks[0].Caller.SID(); !ok || !strings.HasPrefix(sid, "S-1-5-") {
		t.Errorf("the caller is %s", page.Tasks[0].Caller)
	}
	_ = s
}
