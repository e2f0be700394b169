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
	m.Do(t, `w:\deputy.exe`, "status", "--timeout", "60s")
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

// state asks the command line how the service stands.
func (s *site) state(t *testing.T, code int, want string) {
	t.Helper()
	got, out := s.Run(t, time.Minute, `w:\deputy.exe`, "service", "status", "--json")
	if got != code || !strings.Contains(strings.ReplaceAll(out, " ", ""), want) {
		t.Fatalf("service status ended with %d, not %d: %s", got, code, out)
	}
}

// TestTheMonitorIsKilled: tasks live on, those that end meanwhile keep their
// exact exit codes, and the local pipe answers again.
func TestTheMonitorIsKilled(t *testing.T) {
	m := windows(t)
	s := install(t, m)
	s.start(t)
	defer m.Do(t, `w:\deputy.exe`, "service", "remove", "--purge")

	tree := only(t, s.ask(t, message("start", "7")))
	s.lives(t, "7", 5)
	ends := s.call(t, "exit", map[string]any{"code": 200, "after": "1s"})
	later := s.call(t, "exit", map[string]any{"code": 201, "after": "15s"})
	if err := waitFor(time.Minute, func() bool { return s.task(t, later, false).State == deputy.Running }); err != nil {
		t.Fatal(err)
	}
	monitors := s.Processes("--role", "monitor", "--service")
	if len(monitors) != 1 {
		t.Fatalf("monitors: %v", monitors)
	}
	if err := syscall.Kill(monitors[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for id, code := range map[string]int{ends: 200, later: 201} {
		if task := s.task(t, id, true); task.Exit.Code == nil || *task.Exit.Code != code {
			t.Errorf("a task that exited with %d ended as %+v: %s", code, task.Exit, *task.Reason)
		}
	}
	out := m.Do(t, `w:\deputy.exe`, "ps", "--json")
	if !strings.Contains(out, tree) {
		t.Errorf("deputy ps does not show what lives:\n%s", out)
	}
	m.Do(t, `w:\deputy.exe`, "stop", tree)
	s.lives(t, "7", 0)
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
