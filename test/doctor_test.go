//go:build linux

package test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"deputy/test/rig"
)

type finding struct{ Area, Level, What, Follows, Remedy string }

// doctor runs deputy doctor, and gives what it found that is not well, and its
// exit status.
func doctor(t *testing.T, cmd *exec.Cmd) ([]finding, int) {
	t.Helper()
	cmd.Args = append(cmd.Args, "--json")
	text, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var report struct{ Findings []finding }
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	var bad []finding
	for _, f := range report.Findings {
		if f.Level != "ok" {
			bad = append(bad, f)
		}
	}
	return bad, cmd.ProcessState.ExitCode()
}

func level(list []finding, area string) string {
	for _, f := range list {
		if f.Area == area {
			return f.Level
		}
	}
	return "ok"
}

// ours are the areas that a deputy of a test decides; the others are the
// machine's.
var ours = []string{"daemon", "policy", "keys", "programs", "state", "journal"}

// A deputy that runs well is well; what is wrong with it is found, with the
// daemon up and down, and the exit status says so.
func TestDoctor(t *testing.T) {
	d := begin(t, "allow.users = [\"uid:UID\"]\naction.a.command = [\"/bin/true\"]\n", rig.Files{"keys/panel": "secret\n"})
	key := filepath.Join(d.Config, "keys", "panel")
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	list, status := doctor(t, d.Command("doctor", "--full"))
	for _, area := range ours {
		if l := level(list, area); l != "ok" {
			t.Errorf("%s is %s: %+v", area, l, list)
		}
	}
	if status != 0 && status != 1 { // of the machine something may be weaker
		t.Errorf("exit status %d: %+v", status, list)
	}

	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	d.Self().Do("POST", "/v1/drain", "")
	if list, status = doctor(t, d.Command("doctor")); status != 2 || level(list, "keys") != "wrong" || level(list, "daemon") != "weaker" {
		t.Errorf("exit status %d: %+v", status, list)
	}
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	d.Stop()
	cmd := d.Command("doctor", "--config", d.Config, "--state", d.State)
	if list, status = doctor(t, cmd); status != 2 || level(list, "daemon") != "wrong" || level(list, "journal") != "ok" || level(list, "state") != "ok" {
		t.Errorf("with the daemon down: exit status %d: %+v", status, list)
	}
	for _, wrong := range [][]string{{"doctor", "--none"}, {"doctor", "please"}} {
		cmd := d.Command(wrong...)
		if _ = cmd.Run(); cmd.ProcessState.ExitCode() != 3 {
			t.Errorf("deputy %q: exit status %d", wrong, cmd.ProcessState.ExitCode())
		}
	}
}

// Who may not look at everything is told what he did not see.
func TestDoctorAsAnotherUser(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, "action.a.command = [\"/bin/true\"]\n", nil)
	cmd := d.Command("doctor")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1, Gid: 1}}
	list, status := doctor(t, cmd)
	if level(list, "journal") != "unseen" || status != 1 && status != 3 {
		t.Errorf("exit status %d: %+v", status, list)
	}
	for _, f := range list {
		if f.Level == "unseen" && f.Remedy == "" {
			t.Errorf("no remedy: %+v", f)
		}
	}
}

// The selftest keeps every promise here, as root and as an ordinary user, and
// leaves nothing.
func TestSelftest(t *testing.T) {
	run := func(t *testing.T, credential *syscall.Credential) {
		temp, err := os.MkdirTemp("", "d-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(temp)
		if err := os.Chmod(temp, 0o777|os.ModeSticky); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(filepath.Join(rig.Programs(t), "deputy"), "selftest", "--cycles", "1", "--json")
		cmd.Env = append(os.Environ(), "TMPDIR="+temp)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
		text, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s%s", err, text, stderrOf(err))
		}
		var report struct {
			OK       bool
			Promises []struct {
				Promise  int
				Kept     bool
				Measured string
			}
		}
		if err := json.Unmarshal(text, &report); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if !report.OK || len(report.Promises) != 8 {
			t.Errorf("%s", text)
		}
		for i, p := range report.Promises {
			if p.Promise != i+1 || !p.Kept || p.Measured == "" {
				t.Errorf("%+v", p)
			}
		}
		if left, _ := os.ReadDir(temp); len(left) > 0 {
			t.Errorf("it left %v", left)
		}
	}
	t.Run("as who runs the test", func(t *testing.T) { run(t, nil) })
	t.Run("as an ordinary user", func(t *testing.T) {
		rig.NeedRoot(t)
		run(t, &syscall.Credential{Uid: 1, Gid: 1})
	})
}

func stderrOf(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(exit.Stderr)
	}
	return ""
}
