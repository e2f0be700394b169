//go:build linux

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy/client"
	"deputy/test/rig"
)

// The monitor is killed when it has made a task's cgroup and nothing is born in it
// yet: its forker has not come to the order. The task is started by the next
// monitor, once, and ends with its own exit code; the old forker makes nothing.
func TestKilledBeforeABirth(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, `
user = "root"
[allow]
users = ["uid:0"]
[action.once]
command = ["/bin/sh", "-c", 'echo "$DEPUTY_TASK" >>"$0"; echo said; exit 7', "WORK/starts"]
`, rig.Files{"deputy.toml": installed}, "--installed")
	c := d.Self()
	first := c.Ended(c.Started("m/once", "").ID) // there is a forker now
	if got := endOf(first); got != "failed code 7" {
		t.Fatal(got)
	}
	forker, monitor := d.Part("--role forker"), d.Part("--role monitor")
	if err := syscall.Kill(forker, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(forker, syscall.SIGKILL) })
	tasks, err := d.Client().Call(t.Context(), "m", "once", nil, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	id := tasks[0].ID
	rig.Eventually(t, time.Minute, "its cgroup is made", func() bool {
		return slices.ContainsFunc(d.Leaves(), func(leaf string) bool { return strings.HasPrefix(filepath.Base(leaf), id) })
	})
	if err := syscall.Kill(monitor, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := endOf(c.Ended(id)); got != "failed code 7" {
		t.Errorf("a task that was just being started ended as %s", got)
	}
	if err := syscall.Kill(forker, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, time.Minute, "the old forker ends", func() bool { s := rig.State(forker); return s == "" || s == "Z" })
	starts := 0
	for _, line := range lines(t, filepath.Join(d.Work, "starts")) {
		if line == id {
			starts++
		}
	}
	if got := c.Stdout(id); starts != 1 || got != "said\n" {
		t.Errorf("it was started %d times, and said %q", starts, got)
	}
	if left, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", forker)); err == nil && rig.State(forker) != "Z" {
		t.Errorf("the old forker lives: %s", left)
	}
	d.Verify()
}
