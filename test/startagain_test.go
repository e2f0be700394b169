//go:build linux

package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"deputy"
	"deputy/test/rig"
)

// A program that is being written anew, as an installer does, is tried again, and runs
// once that has it whole.
func TestAProgramThatIsBeingWrittenIsTriedAgain(t *testing.T) {
	d := prepare(t, "[allow]\nusers = [\"uid:UID\"]\n[action.written]\ncommand = [\"WORK/written\"]\n", nil)
	text, err := os.ReadFile("/bin/echo")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(d.Work, "written")
	if err := os.WriteFile(program, text, 0o755); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(program, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	d.Start()
	c := d.Self()
	id := c.Call("m/written", "").Tasks(t)[0].ID
	rig.Pause() // for the first try
	writer.Close()
	if task := c.Ended(id); task.State != deputy.Succeeded {
		t.Errorf("it %s: %s", task.State, reason(task))
	}
	// One that stays open is given up, and it is said why.
	if writer, err = os.OpenFile(program, os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	if task := c.Ended(c.Call("m/written", "").Tasks(t)[0].ID); task.State != deputy.Failed || !strings.Contains(reason(task), "its program is open for writing") {
		t.Errorf("it %s: %s", task.State, reason(task))
	}
	writer.Close()
}

// A directory that the task's user may not enter is named, and not the program.
func TestADirectoryThatTheUserMayNotEnterIsNamed(t *testing.T) {
	rig.NeedRoot(t)
	for _, args := range [][]string{nil, {"--no-cgroup"}} {
		d := prepare(t, "directory = \"WORK/closed\"\nuser = \"daemon\"\n[allow]\nusers = [\"uid:UID\"]\n[action.away]\ncommand = [\"/bin/true\"]\n", nil, args...)
		if err := os.Mkdir(filepath.Join(d.Work, "closed"), 0o700); err != nil {
			t.Fatal(err)
		}
		d.Start()
		c := d.Self()
		task := c.Ended(c.Call("m/away", "").Tasks(t)[0].ID)
		if want := "its directory " + d.Work + "/closed: permission denied"; task.State != deputy.Failed || !strings.Contains(reason(task), want) {
			t.Errorf("%v: it %s: %s; want %s", args, task.State, reason(task), want)
		}
		d.Stop()
	}
}
