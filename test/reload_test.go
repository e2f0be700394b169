//go:build linux

package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

const firstModule = `
USER
[allow]
users = ["uid:UID"]
[action.old]
command = ["/bin/true"]
[action.script]
command = ["/bin/sh", "WORK/script"]
[action.wait]
lock = "w"
on_busy = "rerun"
command = ["/bin/sh", "-c", 'read line <"$0"; exit 0', "WORK/gate"]
`

// The same with one action more, one less, and one that means something else.
const secondModule = `
USER
[allow]
users = ["uid:UID"]
[action.new]
command = ["/bin/true"]
[action.wait]
lock = "w"
on_busy = "rerun"
command = ["/bin/sh", "-c", 'read line <"$0"; exit 3', "WORK/gate"]
`

const badModule = `
[action.old]
command = ["/bin/true", "{undeclared}"]
comand = ["/bin/false"]
`

func reloadDeputy(t *testing.T, args ...string) (*rig.Deputy, gate) {
	t.Helper()
	user, config := "", wide
	if len(args) > 0 {
		user, config = `user = "root"`, installed
	}
	d := prepare(t, strings.Replace(firstModule, "USER", user, 1), rig.Files{"deputy.toml": config}, args...)
	if err := os.WriteFile(filepath.Join(d.Work, "script"), []byte("echo done\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	g := newGate(t, filepath.Join(d.Work, "gate"))
	d.Start()
	return d, g
}

// policies counts the policies that came into force.
func policies(d *rig.Deputy) int { return len(d.Events(deputy.PolicyLoaded)) }

func TestReload(t *testing.T) {
	ways := map[string]func(*testing.T, *rig.Deputy) (string, bool){
		"SIGHUP": func(t *testing.T, d *rig.Deputy) (string, bool) {
			const inForce = "the policy was loaded" // its record comes before it is in force
			before, said := strings.Count(d.Log(), inForce), strings.Count(d.Log(), "cannot reload")
			if err := d.Cmd.Process.Signal(syscall.SIGHUP); err != nil { // to the keeper, which passes it on
				t.Fatal(err)
			}
			good := false
			rig.Eventually(t, 10*time.Second, "the files are read again", func() bool {
				good = strings.Count(d.Log(), inForce) > before
				return good || strings.Count(d.Log(), "cannot reload") > said
			})
			return d.Log(), good
		},
		"deputy reload": func(t *testing.T, d *rig.Deputy) (string, bool) {
			text, err := d.Command("reload").CombinedOutput()
			return string(text), err == nil
		},
		"POST /v1/reload": func(t *testing.T, d *rig.Deputy) (string, bool) {
			a := d.Self().Do("POST", "/v1/reload", "")
			if a.Status != 200 && a.Status != 422 {
				t.Errorf("status %d: %s", a.Status, a.Body)
			}
			return string(a.Body), a.Status == 200
		},
	}
	for name, reload := range ways {
		t.Run(name, func(t *testing.T) {
			d, g := reloadDeputy(t)
			c := d.Self()
			first := c.Started("m/wait", "")
			queued := c.Started("m/wait", "")
			running(t, c, first.ID)
			healthy := d.Self().Do("GET", "/healthz", "")

			// One mistake, and everything stays as it was.
			d.Write(rig.Files{"modules.d/m.toml": badModule})
			text, good := reload(t, d)
			for _, part := range []string{"modules.d/m.toml:3:", "undeclared", "modules.d/m.toml:4:1", "comand", "did you mean"} {
				if !strings.Contains(text, part) {
					t.Errorf("a failed reload does not name %q:\n%s", part, text)
				}
			}
			if good || policies(d) != 1 {
				t.Errorf("a manifest with mistakes came into force; the journal has %d policies", policies(d))
			}
			c.Ended(c.Started("m/old", "").ID)
			if now := d.Self().Do("GET", "/healthz", ""); string(now.Body) != string(healthy.Body) {
				t.Errorf("healthz was %s and is %s", healthy.Body, now.Body)
			}

			// A whole policy is in force at once.
			d.Write(rig.Files{"modules.d/m.toml": fill(t, d, strings.Replace(secondModule, "USER", "", 1))})
			if text, good := reload(t, d); !good {
				t.Fatalf("the reload failed:\n%s", text)
			}
			c.Call("m/old", "").Refused(t, 404, deputy.UnknownAction)
			c.Ended(c.Started("m/new", "").ID)
			if actions := string(c.Do("GET", "/v1/actions", "").Body); strings.Contains(actions, `"old"`) || !strings.Contains(actions, `"new"`) {
				t.Errorf("actions: %s", actions)
			}
			// What runs goes on as it was declared; what waited under the old policy does not start.
			g.open()
			if task := c.Ended(first.ID); endOf(task) != "succeeded code 0" {
				t.Errorf("the running one: %s, %s", endOf(task), reason(task))
			}
			if task := c.Ended(queued.ID); task.State != deputy.Rejected || task.Started != nil || reason(task) != "its action was changed while it waited" {
				t.Errorf("the waiting one: %s, %q", task.State, reason(task))
			}
			records := d.Events(deputy.PolicyLoaded)
			if len(records) != 2 || records[0].Policy == records[1].Policy {
				t.Fatalf("the journal's policies: %+v", records)
			}
			if !slices.ContainsFunc(records[1].Files, func(f deputy.PolicyFile) bool { return strings.Contains(f.Text, "[action.new]") }) {
				t.Error("the journal has not the text of the policy")
			}
			d.Verify()
		})
	}
}

// Who is no operator may not reload.
func TestReloadIsForOperators(t *testing.T) {
	rig.NeedRoot(t)
	d, _ := reloadDeputy(t)
	d.As(2).Do("POST", "/v1/reload", "").Refused(t, 403, deputy.NotAllowed)
	if policies(d) != 1 {
		t.Error("it was reloaded")
	}
}

// A policy that cannot be read at a restart denies everything, and running
// tasks go on.
func TestAMonitorThatFindsABadPolicyDeniesAndKeepsItsTasks(t *testing.T) {
	d, g := reloadDeputy(t)
	c := d.Self()
	first := c.Started("m/wait", "")
	running(t, c, first.ID)
	d.Write(rig.Files{"modules.d/m.toml": badModule})
	if err := syscall.Kill(d.Part("--role monitor"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	answering(t, d)
	rig.Eventually(t, 20*time.Second, "the next monitor has begun", func() bool { return len(d.Events(deputy.MonitorStart)) == 2 })
	answering(t, d)
	c = d.Self()
	running(t, c, first.ID)
	if a := c.Call("m/old", ""); a.Status != 404 && a.Status != 403 {
		t.Errorf("status %d: %s", a.Status, a.Body)
	}
	g.open()
	if task := c.Ended(first.ID); endOf(task) != "succeeded code 0" {
		t.Errorf("the running one: %s, %s", endOf(task), reason(task))
	}
	if !strings.Contains(d.Log(), "every request is denied until the files above are mended") {
		t.Errorf("it does not say so:\n%s", d.Log())
	}
}

// What another could have written is not started, even though it was sound
// when it was loaded.
func TestWhatOthersCanWriteIsNotStarted(t *testing.T) {
	rig.NeedRoot(t)
	d, _ := reloadDeputy(t, "--installed")
	c := d.Self()
	script, manifest := filepath.Join(d.Work, "script"), filepath.Join(d.Config, "modules.d", "m.toml")
	for _, test := range []struct {
		name, path string
		change     func(string) error
		words      []string
	}{
		{"a script that everyone can write", script, chmod(0o777), []string{script, "everyone", "chmod o-w " + script}},
		{"a script that a group can write", script, chmod(0o775), []string{script, "group", "chmod g-w " + script}},
		{"a script of another user", script, chown(2), []string{script, "user bin", "chown"}},
		{"a folder above it that everyone can write", d.Work, chmod(0o777), []string{script, d.Work, "chmod o-w " + d.Work}},
		{"a manifest that a group can write", manifest, chmod(0o664), []string{manifest, "group", "chmod g-w " + manifest}},
		{"a folder of manifests that everyone can write", filepath.Dir(manifest), chmod(0o777), []string{manifest, "everyone"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			info, err := os.Stat(test.path)
			if err != nil {
				t.Fatal(err)
			}
			if task := c.Ended(c.Started("m/script", "").ID); endOf(task) != "succeeded code 0" {
				t.Fatalf("before: %s, %s", endOf(task), reason(task))
			}
			if err := test.change(test.path); err != nil {
				t.Fatal(err)
			}
			task := c.Ended(c.Started("m/script", "").ID)
			if err := os.Chown(test.path, 0, 0); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(test.path, info.Mode().Perm()); err != nil {
				t.Fatal(err)
			}
			if task.State != deputy.Failed || task.Started != nil || task.StdoutBytes != 0 {
				t.Errorf("%s, started %v: %s", task.State, task.Started, reason(task))
			}
			for _, word := range test.words {
				if !strings.Contains(reason(task), word) {
					t.Errorf("the reason does not name %q: %s", word, reason(task))
				}
			}
		})
	}
	if n := len(d.Events(deputy.Started)); n != 6 {
		t.Errorf("%d processes were started, want 6", n)
	}
}

func chmod(mode os.FileMode) func(string) error {
	return func(path string) error { return os.Chmod(path, mode) }
}

func chown(uid int) func(string) error {
	return func(path string) error { return os.Chown(path, uid, -1) }
}
