//go:build linux

package test

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

// A socket that somebody deletes comes back, with its mode, and is the one that the next
// monitor takes over, too.
func TestADeletedSocketComesBack(t *testing.T) {
	d := begin(t, endsModule, rig.Files{"deputy.toml": "[listen]\nline = [\"WORK/line.sock\"]\n"})
	line := filepath.Join(d.Work, "line.sock")
	before, err := os.Stat(d.Socket)
	if err != nil {
		t.Fatal(err)
	}
	back := func() {
		t.Helper()
		for _, path := range []string{d.Socket, line} {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		rig.Eventually(t, time.Minute, "requests are answered again", func() bool {
			a, err := d.Self().Try("GET", "/healthz", "")
			_, missing := os.Stat(line)
			return err == nil && a.Status == 200 && missing == nil
		})
		if after, err := os.Stat(d.Socket); err != nil || after.Mode() != before.Mode() {
			t.Errorf("%v, %v; it was %v", after, err, before.Mode())
		}
	}
	back()
	if log := d.Log(); !strings.Contains(log, "the socket "+d.Socket+" was deleted, and is made again") {
		t.Errorf("it is not said: %s", log)
	}
	d.Crash()
	d.Start()
	back()
	d.Stop()
	if _, err := os.Stat(d.Socket); err == nil {
		t.Error("the socket is left")
	}
}

// So does the one where tasks tell their progress.
func TestADeletedSocketForProgressComesBack(t *testing.T) {
	d := prepare(t, strings.ReplaceAll(progressModule, "BIN", rig.Programs(t)), nil)
	gate := newGate(t, filepath.Join(d.Work, "gate"))
	d.Start()
	socket := filepath.Join(d.State, "notify")
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, time.Minute, "it is back, and a server reads it", func() bool {
		_, err := os.Stat(socket)
		return err == nil && strings.Contains(d.Log(), "the server is started again")
	})
	c := d.Self()
	task := c.Started("m/script", "{}")
	rig.Eventually(t, time.Minute, "progress is shown", func() bool { return progress(c.Task(task.ID)) == "50 copying all" })
	gate.open()
	c.Ended(task.ID)
}

// A deputy up ends with the terminal that it was started at, and leaves nothing. While
// that is there a SIGHUP has it reload, as ever.
func TestUpEndsWithItsTerminal(t *testing.T) {
	master, terminal := pty(t)
	d := prepare(t, logModule, nil)
	d.Stderr = terminal
	d.Start()
	lines := bufio.NewScanner(master)
	c := d.Self()
	task := c.Started("m/long", "")
	_ = d.Cmd.Process.Signal(syscall.SIGHUP)
	for lines.Scan() && !strings.Contains(lines.Text(), "the policy was loaded") {
	}
	if state := c.Task(task.ID).State; state != deputy.Running {
		t.Errorf("after a reload the task is %s", state)
	}
	terminal.Close()
	master.Close()
	_ = d.Cmd.Process.Signal(syscall.SIGHUP) // as the kernel tells whose terminal it is
	rig.Eventually(t, time.Minute, "it has ended", func() bool { return rig.HasEnded(d.Cmd.Process.Pid) })
	none(t, task)
	if _, err := os.Stat(d.Socket); err == nil {
		t.Error("the socket is left")
	}
}
