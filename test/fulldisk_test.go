//go:build linux

package test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/test/rig"
)

// stateOn puts a deputy's state on a small file system of its own.
func stateOn(t *testing.T, d *rig.Deputy, kind string) {
	t.Helper()
	mount := exec.Command("mount", "-t", "tmpfs", "-o", "size=32m", "none", d.State)
	if kind != "tmpfs" {
		image := filepath.Join(t.TempDir(), "image")
		if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 32<<20)); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("mkfs."+kind, "-q", "-m", "0", image).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		mount = exec.Command("mount", "-o", "loop", image, d.State)
	}
	if out, err := mount.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.State, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// hog takes all room of a disk, and whatever is freed, until it is stopped.
type hog struct {
	t    *testing.T
	file *os.File
	quit chan struct{}
	all  sync.WaitGroup
	once sync.Once
	back sync.Once
}

func newHog(t *testing.T, dir string) *hog {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "hog"))
	if err != nil {
		t.Fatal(err)
	}
	h := &hog{t: t, file: f, quit: make(chan struct{})}
	t.Cleanup(h.stop)
	for _, size := range []int{1 << 20, 4096} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	h.all.Go(func() {
		for {
			select {
			case <-h.quit:
				return
			case <-time.After(time.Millisecond):
				_, _ = f.Write(make([]byte, 4096))
			}
		}
	})
	return h
}

// rest ends the taking, and keeps what was taken.
func (h *hog) rest() {
	h.once.Do(func() {
		close(h.quit)
		h.all.Wait()
	})
}

// stop gives everything back.
func (h *hog) stop() {
	h.rest()
	h.back.Do(func() {
		if err := errors.Join(h.file.Truncate(0), h.file.Close()); err != nil {
			h.t.Error(err)
		}
	})
}

// refusing waits until new work is refused for want of room, and gives what was
// accepted until then.
func refusing(t *testing.T, c *rig.Caller, action string) (accepted []string) {
	t.Helper()
	rig.Eventually(t, 60*time.Second, "it refuses", func() bool {
		a := c.Call(action, "")
		if a.Status == 202 {
			accepted = append(accepted, a.Tasks(t)[0].ID)
			return false
		}
		refusal := a.Refused(t, 503, deputy.NotDurable)
		if a.Header.Get("Retry-After") == "" || !strings.Contains(refusal.Detail, "nothing was started") {
			t.Fatalf("refused with %v: %s", a.Header, a.Body)
		}
		return true
	})
	rig.Eventually(t, 60*time.Second, "its status says so", func() bool {
		return strings.Contains(string(c.Do("GET", "/healthz", "").Body), `"status":"refusing","refusing":"cannot accept: `)
	})
	return accepted
}

const fullConfig = installed + "[storage]\nkeep_free = \"1B\"\nmax_use = \"100%\"\n"

const fullModule = endsModule + `
[action.turn]
lock = "turn"
on_busy = "rerun"
command = ["/bin/sh", "-c", 'echo ready; read line <"$0"; exit 0', "WORK/turn"]
`

// A disk that others fill, and go on filling, takes nothing new. What runs is
// watched, stopped and recorded to its exact end, also by the next monitor; when
// there is room again deputy needs nobody's help.
func TestADiskIsFilledUnderRunningTasks(t *testing.T) {
	rig.NeedRoot(t)
	for _, kind := range []string{"ext4", "tmpfs"} {
		t.Run(kind, func(t *testing.T) {
			d := prepare(t, fullModule, rig.Files{"deputy.toml": fullConfig}, "--installed")
			stateOn(t, d, kind)
			d.Start()
			c := d.Self()
			var ends, later []ending
			for _, what := range []string{"0", "3", "SIGTERM", "witness"} {
				ends = append(ends, startEnding(t, d, "now-"+what, what))
				later = append(later, startEnding(t, d, "later-"+what, what))
			}
			survivor := startEnding(t, d, "survivor", "0")
			stubborn := c.Started("m/stubborn", `{"n":20}`)
			ready(t, c, stubborn.ID)
			turn := newGate(t, filepath.Join(d.Work, "turn"))
			holder := c.Started("m/turn", "")
			ready(t, c, holder.ID)
			waiting := c.Started("m/turn", "")
			head, err := d.Command("audit", "export", "--head", "--journal", filepath.Join(d.State, "journal")).Output()
			if err != nil {
				t.Fatal(err)
			}

			h := newHog(t, d.State)
			accepted := refusing(t, c, "m/once")
			for _, e := range ends {
				e.release()
				e.check(c, "on a full disk")
			}
			turn.open() // the next in the queue is not lost, and not started
			if end := endOf(c.Ended(holder.ID)); end != "succeeded code 0" {
				t.Errorf("the holder of the lock: %s", end)
			}
			stopped := c.Stop(stubborn.ID, "")
			if stopped.Stop == nil || stopped.Stop.Killed < 20 || len(rig.Living(stubborn.ID)) > 0 {
				t.Errorf("stopped on a full disk: %+v, living: %v", stopped.Stop, rig.Living(stubborn.ID))
			}
			if task := c.Task(waiting.ID); task.State != deputy.Queued {
				t.Errorf("what waits is %s (%s)", task.State, reason(task))
			}
			var list struct{ Tasks []deputy.Task }
			c.Do("GET", "/v1/tasks", "").Read(t, 200, &list)
			if want := len(ends) + len(later) + 4 + len(accepted); len(list.Tasks) != want {
				t.Errorf("%d tasks are listed, of %d", len(list.Tasks), want)
			}
			if out := c.Stdout(later[0].task.ID); out != "ready\n" {
				t.Errorf("output: %q", out)
			}
			c.Do("POST", "/v1/reload", "").Refused(t, 503, deputy.NotDurable)
			d.As(2).Call("m/once", "").Refused(t, 403, deputy.NotAllowed)

			for i, e := range later { // with the monitor dead, at that
				monitor := d.Part("--role monitor")
				if err := syscall.Kill(monitor, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				e.release()
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				rig.Eventually(t, 30*time.Second, "there is another monitor", func() bool { m := d.Part("--role monitor"); return m != 0 && m != monitor })
				d.Answering(ctx)
				cancel()
				e.check(c, "while no monitor lived, on a full disk")
				if i == 0 {
					c.Call("m/once", "").Refused(t, 503, deputy.NotDurable)
				}
			}
			d.Crash() // the keeper, too: a start like that of a machine
			d.Start()
			c = d.Self()
			if task := c.Task(survivor.task.ID); task.State != deputy.Running {
				t.Errorf("a task that outlived its keeper is %s (%s)", task.State, reason(task))
			}
			c.Call("m/once", "").Refused(t, 503, deputy.NotDurable)
			c.Stop(survivor.task.ID, `{"grace":"0s"}`)

			h.stop()
			rig.Eventually(t, 30*time.Second, "it accepts again", func() bool {
				// The server is replaced: a request on a connection that was idle may
				// meet its end, and is sent again, which the key makes safe.
				a := c.Call("m/once", "", "Idempotency-Key", "room")
				if a.Status == 202 {
					accepted = append(accepted, a.Tasks(t)[0].ID)
				}
				return a.Status == 202
			})
			running(t, c, waiting.ID)
			turn.open()
			if end := endOf(c.Ended(waiting.ID)); end != "succeeded code 0" {
				t.Errorf("what waited: %s", end)
			}
			for _, id := range accepted {
				if task := c.Ended(id); task.State != deputy.Succeeded && !strings.Contains(reason(task), "no space left") {
					t.Errorf("accepted task %s: %s (%s)", id, task.State, reason(task))
				}
			}
			if denied := d.Events(deputy.Denied); len(denied) > 1 {
				t.Errorf("denials ate the reserve: %+v", denied)
			}
			d.Verify()
			if text, err := d.Command("audit", "verify", "--journal", filepath.Join(d.State, "journal"), "--head", strings.TrimSpace(string(head))).CombinedOutput(); err != nil {
				t.Errorf("verify: %v\n%s", err, text)
			}
			if t.Failed() {
				t.Log(d.Log())
			}
		})
	}
}

// A full disk makes room of what it may: the output of tasks that have ended,
// once it has had its time.
func TestAFullDiskIsRelievedOfOldOutput(t *testing.T) {
	rig.NeedRoot(t)
	d := prepare(t, "user = \"root\"\n"+limitModule, rig.Files{"deputy.toml": fullConfig}, "--installed")
	stateOn(t, d, "ext4")
	d.Start()
	c := d.Self()
	old, young := c.Ended(c.Started("m/write", `{"bytes":6000000}`).ID), c.Ended(c.Started("m/write", `{"bytes":3000000}`).ID)
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(d.State, "tasks", old.ID, "stdout"), past, past); err != nil {
		t.Fatal(err)
	}
	h := newHog(t, d.State)
	h.rest() // what is freed now is not taken again
	refusing(t, c, "m/quick")
	rig.Eventually(t, 60*time.Second, "it accepts again", func() bool { return c.Call("m/quick", "").Status == 202 })
	if removed := d.Events(deputy.OutputRemoved); len(removed) != 1 || len(removed[0].IDs) != 1 || removed[0].IDs[0] != old.ID {
		t.Errorf("removed: %+v, want %s alone", removed, old.ID)
	}
	if out := c.Stdout(young.ID); len(out) != 3000000 {
		t.Errorf("the young output has %d bytes", len(out))
	}
	d.Verify()
}
