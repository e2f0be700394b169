//go:build linux

// Package systemd_test has deputy as a service of a real systemd, which is PID 1
// of a machine that the test boots: what is promised across starts, stops, kills
// and upgrades of the service holds there.
package systemd_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/client"
	"deputy/test/rig"
	"deputy/test/systemd/machine"
)

// patience is how long anything may take on a machine that has other work.
const patience = time.Minute

// module's tasks say that they were started, and end when their gate is opened.
const module = `
user = "root"
[allow]
users = ["root"]
[action.work]
command = ["/bin/sh", "-c", 'echo "$1" >>/work/starts; read -r line </work/"$1"; exit "$2"', "sh", "{name}", "{code}"]
params.name = { type = "string", pattern = "^[a-z0-9-]+$" }
params.code = { type = "integer" }
grace = "0s"
[action.short]
command = ["/bin/sh", "-c", "echo short >>/work/starts"]
[action.environment]
command = ["/usr/bin/env"]
[action.forge]
command = ["/usr/bin/env", "NOTIFY_SOCKET=/run/systemd/notify", "/usr/bin/systemd-notify", "--status=forged", "STOPPING=1"]
`

// site is a machine with deputy's programs in it.
type site struct {
	*machine.Machine
	t *testing.T
	c *client.Client
}

const socket = "/run/deputy/deputy.sock"

// newSite boots one. deputy is not yet a service there.
func newSite(t *testing.T) *site {
	t.Helper()
	rig.NeedRoot(t)
	s := &site{Machine: machine.Boot(t), t: t}
	s.programs("1.0.0-test")
	s.Write("/work/starts", "", 0o644)
	s.c = client.New(s.Path(socket))
	return s
}

// installed is newSite with deputy as a service that runs.
func installed(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	s.Write("/etc/deputy/modules.d/m.toml", module, 0o644)
	s.Run("deputy", "service", "install")
	s.Run("deputy", "service", "start")
	return s
}

// programs puts deputy's programs of a version in their places. What runs goes on
// with what it was started from.
func (s *site) programs(version string) {
	s.t.Helper()
	dir, err := build(version)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Copy(filepath.Join(dir, "deputy"), "/usr/bin/deputy")
	s.Copy(filepath.Join(dir, "deputyd"), "/usr/sbin/deputyd")
	s.Copy(filepath.Join(dir, "deputy-server"), "/usr/sbin/deputy-server")
}

var (
	builds  = map[string]string{} // directories by version
	builder sync.Mutex
)

// build builds the programs as they are released, once for each version.
func build(version string) (string, error) {
	builder.Lock()
	defer builder.Unlock()
	if dir := builds[version]; dir != "" {
		return dir, nil
	}
	root, err := rig.Root()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "deputy-bin-")
	if err != nil {
		return "", err
	}
	builds[version] = dir
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X deputy.Version="+version, "-o", dir+"/", "./cmd/...")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build the programs: %w\n%s", err, text)
	}
	return dir, nil
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, dir := range builds {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// context bounds what is asked of deputy.
func (s *site) context() context.Context {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	s.t.Cleanup(cancel)
	return ctx
}

// property reads one of the service's (systemctl(1), show).
func (s *site) property(name string) string {
	s.t.Helper()
	return strings.TrimSpace(s.Run("systemctl", "show", "deputy.service", "--property="+name, "--value"))
}

// until waits for a property to be so.
func (s *site) until(name, value string) {
	s.t.Helper()
	rig.Eventually(s.t, patience, name+" is "+value, func() bool { return s.property(name) == value })
}

// keeper, monitor and server give PIDs as the machine numbers them.
func (s *site) keeper() string { s.t.Helper(); return s.property("MainPID") }

func (s *site) monitor() string {
	s.t.Helper()
	var pid string
	rig.Eventually(s.t, patience, "there is a monitor", func() bool {
		text, err := s.Try("pgrep", "--full", "--", "--role monitor")
		pid = strings.TrimSpace(text)
		_, number := strconv.Atoi(pid)
		return err == nil && number == nil
	})
	return pid
}

func (s *site) server() string {
	s.t.Helper()
	var pid string
	rig.Eventually(s.t, patience, "there is a server", func() bool {
		text, err := s.Try("pgrep", "--exact", "deputy-server")
		pid = strings.TrimSpace(text)
		return err == nil
	})
	return pid
}

func (s *site) signal(name string, pids ...string) {
	s.t.Helper()
	s.Run(append([]string{"/bin/kill", "-" + name, "--"}, pids...)...)
}

// kill kills them all before any of them can see that another is gone.
func (s *site) kill(pids ...string) {
	s.t.Helper()
	s.signal("STOP", pids...)
	s.signal("KILL", pids...)
}

// healthy waits until deputy answers.
func (s *site) healthy() *client.Health {
	s.t.Helper()
	var h *client.Health
	rig.Eventually(s.t, patience, "deputy answers", func() bool {
		ctx, cancel := context.WithTimeout(s.context(), 5*time.Second)
		defer cancel()
		var err error
		h, err = s.c.Health(ctx)
		return err == nil
	})
	return h
}

// work is a task that ends with a code of its own when its gate is opened.
type work struct {
	s    *site
	name string
	code int
	id   string
}

// begin starts one, and waits until it runs.
func (s *site) begin(name string, code int) work {
	s.t.Helper()
	if err := syscall.Mkfifo(s.Path("/work/"+name), 0o600); err != nil {
		s.t.Fatal(err)
	}
	tasks, err := s.c.Call(s.context(), "m", "work", deputy.Params{"name": name, "code": code}, client.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	w := work{s, name, code, tasks[0].ID}
	rig.Eventually(s.t, patience, name+" was started", func() bool { return w.starts() > 0 })
	return w
}

// starts counts them: the task itself has written each down.
func (w work) starts() (n int) {
	w.s.t.Helper()
	text, err := os.ReadFile(w.s.Path("/work/starts"))
	if err != nil {
		w.s.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.TrimSpace(line) == w.name {
			n++
		}
	}
	return n
}

// open opens its gate, as soon as it waits there, and waits until it has gone.
func (w work) open() {
	w.s.t.Helper()
	var gate *os.File
	rig.Eventually(w.s.t, patience, w.name+" waits at its gate", func() bool {
		var err error
		gate, err = os.OpenFile(w.s.Path("/work/"+w.name), os.O_WRONLY|syscall.O_NONBLOCK, 0)
		return !errors.Is(err, syscall.ENXIO) && err == nil
	})
	_, err := gate.WriteString("\n")
	if err = errors.Join(err, gate.Close()); err != nil {
		w.s.t.Fatal(err)
	}
	rig.Eventually(w.s.t, patience, w.name+" has gone", func() bool { return !w.alive() })
}

// alive asks the kernel, not deputy.
func (w work) alive() bool { return len(rig.Living(w.id)) > 0 }

// runs holds deputy to it that it still runs.
func (w work) runs() {
	w.s.t.Helper()
	task, err := w.s.c.Task(w.s.context(), w.id, 0)
	if err != nil {
		w.s.t.Fatal(err)
	}
	if task.State != deputy.Running || !w.alive() {
		w.s.t.Errorf("%s is %s, its process lives: %v", w.name, task.State, w.alive())
	}
}

// exact holds deputy to its end: its own code, and one start.
func (w work) exact() {
	w.s.t.Helper()
	task := w.end()
	if task.Exit == nil || task.Exit.Code == nil || *task.Exit.Code != w.code {
		w.s.t.Errorf("%s ended as %s, exit %s, want code %d", w.name, task.State, exit(task), w.code)
	}
	if n := w.starts(); n != 1 {
		w.s.t.Errorf("%s was started %d times", w.name, n)
	}
}

func (w work) end() *deputy.Task {
	w.s.t.Helper()
	task, err := w.s.c.Wait(w.s.context(), w.id)
	if err != nil {
		w.s.t.Fatal(err)
	}
	return task
}

func exit(task *deputy.Task) string {
	switch {
	case task.Exit == nil:
		return "none"
	case task.Exit.Code != nil:
		return fmt.Sprint("code ", *task.Exit.Code)
	}
	return task.Exit.Signal + task.Exit.Unknown
}

// verify has the journal proved.
func (s *site) verify() {
	s.t.Helper()
	if text, err := s.Try("deputy", "audit", "verify"); err != nil {
		s.t.Errorf("deputy audit verify: %v\n%s", err, text)
	}
}

// dropIn changes the service, from its next start on.
func (s *site) dropIn(settings string) {
	s.t.Helper()
	s.Write("/etc/systemd/system/deputy.service.d/test.conf", "[Service]\n"+settings+"\n", 0o644)
	s.Run("systemctl", "daemon-reload")
}
