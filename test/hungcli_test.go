//go:build linux

package test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy/test/rig"
)

// answers runs a command that must end by itself, whatever hangs, and gives what it
// wrote and its status.
func answers(t *testing.T, cmd *exec.Cmd) (string, int) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	select {
	case <-ended:
		return out.String(), cmd.ProcessState.ExitCode()
	case <-time.After(20 * time.Second): // its own patience is a second for each place
		_ = cmd.Process.Kill() // it dies with the mount
		t.Errorf("%v does not end", cmd.Args[1:])
		return "", -1
	}
}

// check, doctor and new wait for no file system, and say which path does not answer.
func TestCommandsDoNotHangOnAFileSystemThatDoesNotAnswer(t *testing.T) {
	rig.NeedRoot(t)
	const silent = ": it did not answer within 1s"
	hung := func(name string) (d *rig.Deputy, dir string) {
		d = prepare(t, "[action.good]\nuser = \"root\"\ncommand = [\"/bin/true\"]\n[action.there]\nuser = \"root\"\ncommand = [\"WORK/mnt/prog\"]\n[[allow]]\nusers = [\"uid:0\"]\n", nil)
		dir = strings.Replace(name, "STATE", d.State, 1)
		dir = strings.Replace(strings.Replace(dir, "CONFIG", d.Config, 1), "WORK", d.Work, 1)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		rig.Hang(t, dir)
		return d, dir
	}
	for _, name := range []string{"CONFIG/modules.d", "CONFIG/keys"} {
		d, dir := hung(name)
		for _, args := range [][]string{
			{"check", "--config", d.Config}, {"new", "more/action", "--config", d.Config, "--allow", "root", "--", "/bin/true"},
			{"doctor", "--config", d.Config, "--state", d.State},
		} {
			if out, status := answers(t, d.Command(args...)); status <= 0 || !strings.Contains(out, "cannot check "+dir) || !strings.Contains(out, silent) {
				t.Errorf("%s on a hung %s: status %d\n%s", args[0], name, status, out)
			}
		}
	}
	d, dir := hung("CONFIG/modules.d/x")
	if out, status := answers(t, d.Command("check", filepath.Join(dir, "m.toml"))); status <= 0 || !strings.Contains(out, "cannot check "+dir+"/m.toml"+silent) {
		t.Errorf("check of a file: status %d\n%s", status, out)
	}
	d, dir = hung("WORK/mnt")
	if out, _ := answers(t, d.Command("check", "--config", d.Config)); !strings.Contains(out, "m/there cannot be had: cannot check "+dir+"/prog"+silent) {
		t.Errorf("check of an action whose program hangs:\n%s", out)
	}
	for _, name := range []string{"STATE/journal", "STATE/tasks", "STATE"} {
		d, dir := hung(name)
		if out, status := answers(t, d.Command("doctor", "--config", d.Config, "--state", d.State)); status <= 0 || !strings.Contains(out, "cannot check "+dir) || !strings.Contains(out, silent) {
			t.Errorf("doctor of a hung %s: status %d\n%s", name, status, out)
		}
	}
}
