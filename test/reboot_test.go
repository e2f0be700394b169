//go:build linux

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

// What is done to tasks here leaves one line in WORK/starts for each start.
const rebootModule = `
user = "root"
[allow]
users = ["uid:0"]
[action.secret]
command = ["/bin/sh", "-c", 'echo ready; exec sleep 1000']
stdin = "{word}"
params.word = { type = "string", sensitive = true }
[action.once]
command = ["/bin/sh", "-c", 'echo "$DEPUTY_TASK" >>"$0"', "WORK/starts"]
for_each = "n in ns"
params.ns = { type = "array", items = { type = "integer" }, maxItems = 1000 }
lock = "{n}"
[action.hold]
lock = "held"
command = ["/bin/sh", "-c", 'echo ready; exec sleep 1000']
[action.wait]
lock = "held"
on_busy = "rerun"
command = ["/bin/sh", "-c", 'echo "$DEPUTY_TASK" >>"$0"', "WORK/starts"]
[action.hold-short]
lock = "short"
command = ["/bin/sh", "-c", 'echo ready; exec sleep 1000']
[action.wait-short]
lock = "short"
on_busy = "rerun"
start_within = "3s"
command = ["/bin/sh", "-c", 'echo "$DEPUTY_TASK" >>"$0"', "WORK/starts"]
`

func beginReboot(t *testing.T) *rig.Deputy {
	t.Helper()
	rig.NeedRoot(t)
	return begin(t, rebootModule, rig.Files{"deputy.toml": installed}, "--installed")
}

// starts counts how often each task was started.
func starts(t *testing.T, d *rig.Deputy) map[string]int {
	t.Helper()
	count := map[string]int{}
	for _, id := range lines(t, filepath.Join(d.Work, "starts")) {
		count[id]++
	}
	return count
}

// The machine goes down with everything in it. What ran is unknown, and
// nothing of it is left; what waited is started.
func TestTheMachineIsRestarted(t *testing.T) {
	t.Parallel()
	d := beginReboot(t)
	c := d.Self()
	ran := c.Started("m/secret", `{"word":"swordfish"}`)
	ready(t, c, ran.ID)
	holder := c.Started("m/hold", "")
	ready(t, c, holder.ID)
	waits := c.Started("m/wait", "", "Idempotency-Key", "before")
	d.Crash()
	d.NewBoot()
	d.Start()
	c = d.Self()
	for _, id := range []string{ran.ID, holder.ID} {
		task := c.Ended(id)
		if task.State != deputy.Unknown || reason(task) != "machine restarted while it ran" || task.Exit == nil || task.Exit.Unknown == "" {
			t.Errorf("what ran: %s, %q, exit %v", task.State, reason(task), task.Exit)
		}
	}
	if again := c.Started("m/wait", "", "Idempotency-Key", "before"); again.ID != waits.ID {
		t.Errorf("the key gives %s, not %s", again.ID, waits.ID)
	}
	if task := c.Ended(waits.ID); task.State != deputy.Succeeded || starts(t, d)[waits.ID] != 1 {
		t.Errorf("what waited: %s, %s; it was started %d times", task.State, reason(task), starts(t, d)[waits.ID])
	}
	secrets := filepath.Join(d.State, "tasks", ran.ID, "secrets")
	rig.Eventually(t, 20*time.Second, "its secrets are gone", func() bool {
		_, err := os.Stat(secrets)
		return os.IsNotExist(err)
	})
	rig.Eventually(t, 20*time.Second, "no leaf is left", func() bool { return len(d.Leaves()) == 0 })
	d.Verify()
}

// A task whose acceptance is the last that the disk has may have been started:
// whether it was, nobody can tell after the machine went down.
func TestWhatMayHaveBeenStartedIsNotStartedTwice(t *testing.T) {
	t.Parallel()
	d := beginReboot(t)
	c := d.Self()
	task := c.Ended(c.Started("m/once", `{"ns":[1]}`).ID)
	d.Crash()
	cutBehind(t, d, deputy.Accepted)
	d.NewBoot()
	d.Start()
	task = d.Self().Ended(task.ID)
	if task.State != deputy.Unknown || !strings.Contains(reason(task), "may just have been started") {
		t.Errorf("%s, %s", task.State, reason(task))
	}
	if n := starts(t, d)[task.ID]; n != 1 {
		t.Errorf("it was started %d times", n)
	}
}

// cutBehind takes from the journal what stands behind the last record of a kind.
func cutBehind(t *testing.T, d *rig.Deputy, kind deputy.EventType) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(d.State, "journal", "*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d segments, %v", len(files), err)
	}
	list := d.Journal()
	for i := range slices.Backward(list) {
		if strings.Contains(list[i], fmt.Sprintf(`"type":%q`, kind)) {
			text := strings.Join(list[:i+1], "\n") + "\n"
			if err := os.Truncate(files[0], int64(len(text))); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no record of type %s", kind)
}

// A service that was stopped in good order knows what it has not started: that
// is started after the restart, each once, and none of it is unknown.
func TestAnOrderlyStopBeforeTheMachineIsRestarted(t *testing.T) {
	t.Parallel()
	d := beginReboot(t)
	c := d.Self()
	var ns []string
	for i := range 300 {
		ns = append(ns, fmt.Sprint(i))
	}
	tasks := c.Call("m/once", `{"ns":[`+strings.Join(ns, ",")+`]}`).Tasks(t)
	d.Stop()
	born := len(d.Events(deputy.Started))
	if n := len(d.Events(deputy.MonitorEnd)); n != 1 {
		t.Errorf("%d records say that the monitor ended in good order", n)
	}
	d.NewBoot()
	d.Start()
	c = d.Self()
	for _, task := range tasks {
		task = c.Ended(task.ID)
		n := starts(t, d)[task.ID]
		switch {
		case n > 1:
			t.Errorf("%s was started %d times", task.ID, n)
		case task.State == deputy.Succeeded && n == 1:
		case task.State == deputy.Unknown && reason(task) == "machine restarted while it ran":
		default:
			t.Errorf("%s: %s, %s, started %d times", task.ID, task.State, reason(task), n)
		}
	}
	unborn := len(d.Events(deputy.StartIntended))
	t.Logf("%d of %d were started before the stop, %d after the restart", born, len(tasks), unborn)
	if born+unborn != len(tasks) || unborn == 0 {
		t.Errorf("%d started before and %d after are not %d, or none was left", born, unborn, len(tasks))
	}
	d.Verify()
}

// What is not started in its time ends: behind a lock, on the boot clock, and
// after a restart of the machine, on the wall clock.
func TestStartWithin(t *testing.T) {
	t.Parallel()
	d := beginReboot(t)
	c := d.Self()
	ready(t, c, c.Started("m/hold-short", "").ID)
	const want = "it was not started: 3s had passed since it was accepted (start_within)"
	behind := c.Ended(c.Started("m/wait-short", "").ID)
	if took := behind.Ended.Sub(behind.Created.Time); behind.State != deputy.Expired || reason(behind) != want || took < 2900*time.Millisecond || behind.Started != nil {
		t.Errorf("behind a lock: %s, %q, after %v", behind.State, reason(behind), took)
	}
	across := c.Started("m/wait-short", "")
	d.Crash()
	rig.Eventually(t, 10*time.Second, "its time is over", func() bool { return time.Since(across.Created.Time) > 3*time.Second })
	d.NewBoot()
	d.Start()
	across = d.Self().Ended(across.ID)
	if across.State != deputy.Expired || reason(across) != want {
		t.Errorf("across boots: %s, %q", across.State, reason(across))
	}
	if n := len(starts(t, d)); n != 0 {
		t.Errorf("%d tasks were started", n)
	}
}
