//go:build linux

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

const hungModule = `
user = "root"
[allow]
users = ["uid:0"]
[action.program]
command = ["WORK/mnt/prog"]
[action.script]
command = ["/bin/sh", "WORK/mnt/script"]
[action.data]
command = ["/bin/echo", "WORK/mnt/none"]
[action.good]
command = ["/bin/echo", "good"]
[action.long]
grace = "0s"
command = ["/bin/sleep", "1000"]
`

// A file system that does not answer costs those who need it their own tasks,
// and nobody else anything: others start, are stopped and end, a reload is done,
// and the next monitor comes up.
func TestAFileSystemThatDoesNotAnswerHoldsUpNobody(t *testing.T) {
	rig.NeedRoot(t)
	d := prepare(t, hungModule, rig.Files{"deputy.toml": installed}, "--installed")
	dir := filepath.Join(d.Work, "mnt")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	mount := rig.NewMount(t, dir, 0, map[string]string{"prog": "#!/bin/sh\necho program\n", "script": "echo script\n"})
	d.Start()
	c := d.Self()
	for _, name := range []string{"program", "script", "data", "good"} {
		if task := c.Ended(c.Started("m/"+name, "").ID); endOf(task) != "succeeded code 0" {
			t.Fatalf("%s, while all is well: %s, %s", name, endOf(task), reason(task))
		}
	}
	long := c.Started("m/long", "")
	running(t, c, long.ID)
	mount.Hang()
	var all sync.WaitGroup
	for _, name := range []string{"program", "script", "data"} {
		for range 6 {
			all.Go(func() {
				c := d.Self()
				task := c.Ended(c.Started("m/"+name, "").ID)
				if task.State != deputy.Failed || task.Started != nil || !strings.Contains(reason(task), "cannot check "+dir) {
					t.Errorf("%s: %s: %s", name, endOf(task), reason(task))
				}
			})
		}
	}
	slowest := time.Duration(0)
	for range 40 {
		began := time.Now()
		if task := c.Ended(c.Started("m/good", "").ID); endOf(task) != "succeeded code 0" {
			t.Errorf("another task: %s, %s", endOf(task), reason(task))
		}
		slowest = max(slowest, time.Since(began))
	}
	began := time.Now()
	if task := c.Stop(long.ID, ""); task.State != deputy.Stopped {
		t.Errorf("stopped, it is %s", task.State)
	}
	if took := time.Since(began); took > 5*time.Second || slowest > 5*time.Second {
		t.Errorf("the slowest of the others took %v, a stop %v", slowest, took)
	}
	all.Wait()
	if stuck := waiting(d.Part("--role monitor")); stuck != "" {
		t.Errorf("the monitor waits for the file system: %s", stuck)
	}

	if a := c.Do("POST", "/v1/reload", ""); a.Status != 200 {
		t.Errorf("the reload: %d %s", a.Status, a.Body)
	}
	cannot := func() {
		t.Helper()
		for _, name := range []string{"program", "script", "data"} {
			refusal := c.Call("m/"+name, "").Refused(t, 503, deputy.CannotEnforce)
			if !strings.Contains(refusal.Detail, "cannot check "+dir) || !strings.Contains(refusal.Detail, "is its file system mounted and alive?") {
				t.Errorf("%s is refused because %s", name, refusal.Detail)
			}
		}
		if task := c.Ended(c.Started("m/good", "").ID); endOf(task) != "succeeded code 0" {
			t.Errorf("another task: %s, %s", endOf(task), reason(task))
		}
	}
	cannot()
	if err := syscall.Kill(d.Part("--role monitor"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, 20*time.Second, "the next monitor has begun", func() bool { return len(d.Events(deputy.MonitorStart)) == 2 })
	answering(t, d)
	c = d.Self()
	cannot()
	if n := lookers(t); n > 20 {
		t.Errorf("%d lookers are there", n)
	}
}

// waiting names a thread of a process that waits uninterruptibly, and where.
func waiting(pid int) string {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, thread := range threads {
		stat, _ := os.ReadFile(thread + "/stat")
		if _, state, ok := strings.Cut(string(stat), ") "); ok && state[0] == 'D' {
			stack, _ := os.ReadFile(thread + "/stack")
			if strings.Contains(string(stack), "fuse") {
				return string(stack)
			}
		}
	}
	return ""
}

// lookers counts the processes that look at paths, or wait to die of it.
func lookers(t *testing.T) (n int) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if text, _ := os.ReadFile(line); strings.HasSuffix(string(text), "--role\x00look\x00") {
			n++
		}
	}
	return n
}
