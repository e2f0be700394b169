//go:build linux

package wine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"deputy"
	"deputy/client"
	"deputy/internal/signature"
)

const (
	secret   = "the key of the panel"
	settings = `[listen]
line = ["%s"]
http = ["%s"]
[server]
name = "winetest"
[key.panel]
legacy   = true
auditor  = true
operator = true
`
	manifest = `name = "SCAN_MODULE"
user = "root"
params.task_ids = { type = "array", items = { type = "integer", minimum = 1 }, minItems = 1 }
[[allow]]
keys   = ["panel"]
groups = ["sid:S-1-5-32-544"]
[action.start]
for_each = "task_id in task_ids"
lock     = "{task_id}"
command  = ['w:\scan.exe', "-t", "{task_id}"]
grace    = "0s"
[action.stop]
for_each = "task_id in task_ids"
stops    = "start"
lock     = "{task_id}"
[action.exit]
command = ['w:\scan.exe', "exit", "{code}", "{after}"]
params.code  = { type = "integer" }
params.after = { type = "string", format = "duration" }
`
)

// site is an installed deputy with two doors on loopback.
type site struct {
	*Machine
	line, http string // addresses
	client     *client.Client
}

// install builds the programs, declares the module and installs the service.
func install(t *testing.T, m *Machine) *site {
	t.Helper()
	m.Build(t, "./cmd/deputyd", "./cmd/deputy-server", "./cmd/deputy", "./test/wine/scan")
	s := &site{Machine: m, line: freeAddress(t), http: freeAddress(t)}
	m.Do(t, `w:\deputy.exe`, "service", "install")
	etc := "ProgramData/deputy/etc/"
	for name, text := range map[string]string{
		"deputy.toml": fmt.Sprintf(settings, s.line, s.http), "modules.d/scan.toml": manifest, "keys/panel": secret + "\n",
	} {
		if err := os.WriteFile(m.Path(etc+name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.client = client.Signed("http://"+s.http, "panel", []byte(secret), "winetest")
	t.Cleanup(func() {
		s.client.Close()
		if t.Failed() {
			log, _ := os.ReadFile(m.Path("ProgramData/deputy/log/deputyd.log"))
			t.Logf("the service said:\n%s", tail(string(log), 60))
		}
	})
	return s
}

// start starts the service, and waits until it answers a local caller.
func (s *site) start(t *testing.T) {
	t.Helper()
	s.Do(t, `w:\deputy.exe`, "service", "start")
	s.answers(t)
}

// answers waits until it answers a local caller, and one that signs: what is signed
// within 5 s of the monitor's start is refused.
func (s *site) answers(t *testing.T) {
	t.Helper()
	s.Do(t, `w:\deputy.exe`, "status", "--timeout", "60s")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := waitFor(time.Minute, func() bool { _, err := s.client.Tasks(ctx, client.Query{}); return err == nil }); err != nil {
		t.Fatal(err)
	}
}

// freeAddress is one on which nobody listens just now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// message is what the original's clients send, byte for byte.
func message(action, ids string) string {
	return fmt.Sprintf("action:%s\ntask_ids:%s\nmodule:SCAN_MODULE\nsignature:%s\n\n\n\n", action, ids, signature.Legacy([]byte(secret), "SCAN_MODULE"))
}

// ask sends a message from Linux.
func (s *site) ask(t *testing.T, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", s.line)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// askFromWindows sends it from a Windows program.
func (s *site) askFromWindows(t *testing.T, text string) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.Share, "message"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.Do(t, `w:\scan.exe`, "send", s.line, `w:\message`)
}

// lives waits until the tree of a scan has n processes.
func (s *site) lives(t *testing.T, id string, n int) {
	t.Helper()
	count := func() int {
		first := len(s.Processes("-t", id))
		return first + len(s.Processes("hidden", "1")) + len(s.Processes("hidden", "0"))
	}
	if err := waitFor(time.Minute, func() bool { return count() == n }); err != nil {
		t.Fatalf("%d processes live, not %d", count(), n)
	}
}

// task gives a task as the signed HTTP door shows it; with wait, once it has ended.
func (s *site) task(t *testing.T, id string, wait bool) *deputy.Task {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	look := func() (*deputy.Task, error) { return s.client.Task(ctx, id, 0) }
	if wait {
		look = func() (*deputy.Task, error) { return s.client.Wait(ctx, id) }
	}
	task, err := look()
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// only gives the one id of an answer.
func only(t *testing.T, answer string) string {
	t.Helper()
	var a struct {
		Success bool
		Tasks   []string
	}
	if err := json.Unmarshal([]byte(answer), &a); err != nil || !a.Success || len(a.Tasks) != 1 {
		t.Fatalf("the answer is %q, not one task: %v", answer, err)
	}
	return a.Tasks[0]
}
