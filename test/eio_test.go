//go:build linux

package test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

const eioModule = endsModule + `
[action.hold]
lock = "one"
command = ["CAST", "tree", "3", "ignore"]
grace = "100ms"
[action.release]
lock = "one"
stops = "hold"
`

// failing has system calls of a monitor fail, until the returned function is
// called. Paths narrow it to calls on those files.
func failing(t *testing.T, d *rig.Deputy, inject string, paths ...string) (mend func()) {
	t.Helper()
	return failingIn(t, d.Part("--role monitor"), inject, paths...)
}

// failingIn is failing for another process.
func failingIn(t *testing.T, pid int, inject string, paths ...string) (mend func()) {
	t.Helper()
	calls, _, _ := strings.Cut(inject, ":")
	args := []string{"-f", "-o", filepath.Join(t.TempDir(), "strace"), "-e", "trace=" + calls, "-e", "inject=" + inject, "-p", fmt.Sprint(pid)}
	for _, path := range paths {
		args = append(args, "-P", path)
	}
	tracer := exec.Command("strace", args...)
	if err := tracer.Start(); err != nil {
		t.Fatal(err)
	}
	done := false
	mend = func() {
		if !done {
			done = true
			_ = tracer.Process.Signal(syscall.SIGTERM)
			_ = tracer.Wait()
		}
	}
	t.Cleanup(mend)
	rig.Eventually(t, 30*time.Second, "strace is attached", func() bool { return rig.Traced(pid) })
	return mend
}

// While no sync works nothing is acknowledged, what runs is stopped and watched
// all the same, and who asks is told what is known. Mended, it goes on by itself.
func TestNoSyncWorks(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, eioModule, rig.Files{"deputy.toml": installed}, "--installed")
	c := d.Self()
	stubborn := c.Started("m/stubborn", `{"n":20}`)
	ready(t, c, stubborn.ID)
	hold := c.Started("m/hold", "")
	ready(t, c, hold.ID)
	ending := startEnding(t, d, "seven", "7")
	mend := failing(t, d, "fdatasync,fsync:error=EIO")

	const key = "Idempotency-Key"
	c.Call("m/once", "", key, "first").Refused(t, 500, deputy.OutcomeUnknown) // it may have been written
	refusal := c.Call("m/once", "", key, "second")
	if refusal.Refused(t, 503, deputy.NotDurable); refusal.Header.Get("Retry-After") == "" {
		t.Errorf("refused with %v", refusal.Header)
	}
	for range 2 { // asked again it says the same
		began := time.Now()
		e := c.Do("POST", "/v1/tasks/"+stubborn.ID+"/stop", "").Refused(t, 500, deputy.OutcomeUnknown)
		if !strings.Contains(e.Detail, "nothing of task "+stubborn.ID+" lives") || time.Since(began) > 20*time.Second {
			t.Errorf("after %v: %s", time.Since(began), e.Detail)
		}
		if living := rig.Living(stubborn.ID); len(living) > 0 {
			t.Errorf("living: %v", living)
		}
	}
	if e := c.Call("m/release", "").Refused(t, 500, deputy.OutcomeUnknown); !strings.Contains(e.Detail, "are being stopped") {
		t.Error(e.Detail)
	}
	c.Call("m/release", "").Refused(t, 503, deputy.NotDurable)
	rig.Eventually(t, 20*time.Second, "the holder is stopped", func() bool { return len(rig.Living(hold.ID)) == 0 })
	ending.release()
	if task := c.Task(ending.task.ID); task.State != deputy.Running || c.Stdout(ending.task.ID) != "ready\n" {
		t.Errorf("a read: %s", task.State)
	}
	c.Do("POST", "/v1/reload", "").Refused(t, 503, deputy.NotDurable)
	for range 50 { // what is refused costs no memory for later, and is counted
		d.As(2).Call("m/once", "").Refused(t, 403, deputy.NotAllowed)
	}
	c.Call("m/once", "", key, "third").Refused(t, 503, deputy.NotDurable)

	mend()
	rig.Eventually(t, 30*time.Second, "it accepts again", func() bool { return c.Call("m/once", "", key, "first").Status == 202 })
	first := c.Started("m/once", "", key, "first")
	if again := c.Started("m/once", "", key, "first"); again.ID != first.ID {
		t.Errorf("one key gave %s and %s", first.ID, again.ID)
	}
	ending.check(c, "while no sync worked")
	for _, id := range []string{stubborn.ID, hold.ID} {
		if task := c.Ended(id); task.State != deputy.Stopped || task.Stop == nil || !strings.Contains(reason(task), "uid:0") {
			t.Errorf("task %s: %s (%s), receipt %+v", id, task.State, reason(task), task.Stop)
		}
	}
	c.Ended(first.ID)
	if starts := lines(t, filepath.Join(d.Work, "starts")); len(starts) != 1 || starts[0] != first.ID {
		t.Errorf("started: %v, want %s alone", starts, first.ID)
	}
	if n := len(d.Events(deputy.Denied)); n > 1 {
		t.Errorf("%d denials were kept for later", n)
	}
	d.Verify()
}

// One write, or one sync, that fails costs those who were waiting for it, and
// nobody else anything.
func TestOneCallOfTheJournalFails(t *testing.T) {
	rig.NeedRoot(t)
	for _, inject := range []string{"write:error=EIO:when=1", "write:error=ENOSPC:when=1", "write:error=EDQUOT:when=1", "fdatasync:error=EIO:when=1", "fdatasync:error=ENOSPC:when=1"} {
		t.Run(inject, func(t *testing.T) {
			d := begin(t, eioModule, rig.Files{"deputy.toml": installed}, "--installed")
			c := d.Self()
			ending := startEnding(t, d, "three", "3")
			segments, _ := filepath.Glob(filepath.Join(d.State, "journal", "*.jsonl"))
			mend := failing(t, d, inject, segments...)
			a := c.Call("m/once", "", "Idempotency-Key", "k")
			if strings.Contains(inject, "EIO") {
				a.Refused(t, 500, deputy.OutcomeUnknown)
			} else if e := a.Refused(t, 503, deputy.NotDurable); !strings.Contains(e.Detail, "nothing was started") {
				t.Error(e.Detail)
			}
			if starts := lines(t, filepath.Join(d.Work, "starts")); len(starts) > 0 {
				t.Errorf("refused, and started: %v", starts)
			}
			rig.Eventually(t, 30*time.Second, "it accepts again", func() bool { return c.Call("m/once", "", "Idempotency-Key", "k").Status == 202 })
			task := c.Ended(c.Started("m/once", "", "Idempotency-Key", "k").ID)
			mend()
			if starts := lines(t, filepath.Join(d.Work, "starts")); len(starts) != 1 || starts[0] != task.ID {
				t.Errorf("started: %v, want %s alone", starts, task.ID)
			}
			ending.release()
			ending.check(c, "after a call failed")
			if n := len(d.Events(deputy.Cancelled)); n != 1 {
				t.Errorf("%d records say that something was cancelled", n)
			}
			d.Verify()
		})
	}
}
