//go:build linux

package test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

// another starts a second deputyd on the same directories, and gives what it said
// and how it ended; one that has not ended within a minute is killed.
func another(t *testing.T, d *rig.Deputy) (said string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(rig.Programs(t), "deputyd"), "--config", d.Config, "--state", d.State)
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

const held = "another deputyd holds it (pid "

// alone holds the journal against what it must be after many were started: the
// monitors that began, one after the other.
func alone(t *testing.T, d *rig.Deputy, monitors int) {
	t.Helper()
	if n := len(d.Events(deputy.MonitorStart)); n != monitors {
		t.Errorf("%d monitors began, want %d", n, monitors)
	}
	d.Verify()
}

// However many are started, one monitor has the journal: while it serves, while
// it is dead and its keeper starts the next, while both are executed anew.
func TestASecondDeputyIsRefused(t *testing.T) {
	rig.NeedRoot(t)
	d := prepare(t, endsModule, rig.Files{"deputy.toml": installed}, "--installed")
	d.Install(rig.Programs(t))
	d.Start()
	long := startEnding(t, d, "long", "7")
	refused := func(when string) {
		t.Helper()
		if said, err := another(t, d); err == nil || !strings.Contains(said, held) {
			t.Errorf("a second deputyd %s: %v, %s", when, err, said)
		}
	}
	refused("beside the first")
	keeper, monitor := d.Cmd.Process, d.Part("--role monitor")
	if err := keeper.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(monitor, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, time.Minute, "the monitor is dead", func() bool { return rig.State(monitor) == "Z" })
	refused("while no monitor lives")
	if err := keeper.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	answering(t, d)
	const upgrades = 4
	var all sync.WaitGroup
	stop := make(chan struct{})
	all.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				refused("during upgrades")
			}
		}
	})
	for round := range upgrades {
		before := len(d.Events(deputy.MonitorStart))
		upgrade(t, d, round, deputy.Version)
		rig.Eventually(t, time.Minute, "the new monitor begins", func() bool { return len(d.Events(deputy.MonitorStart)) == before+1 })
	}
	close(stop)
	all.Wait()
	answering(t, d)
	running(t, d.Self(), long.task.ID)
	long.release()
	long.check(d.Self(), "after many starts")
	alone(t, d, 2+upgrades)
}

// Many are started at once on a journal that nobody has: one gets it.
func TestOneOfManyStartsGetsTheJournal(t *testing.T) {
	rig.NeedRoot(t)
	const many = 6
	d := begin(t, endsModule, rig.Files{"deputy.toml": installed}, "--installed")
	long := startEnding(t, d, "long", "witness")
	d.Crash()
	var list []*rig.Deputy
	for range many {
		other := *d
		list = append(list, &other)
		other.Launch()
	}
	ended := make(chan error, many)
	for _, other := range list {
		go func() { ended <- other.Cmd.Wait() }()
	}
	for range many - 1 {
		select {
		case err := <-ended:
			if err == nil {
				t.Error("one that was refused ended as if all were well")
			}
		case <-time.After(time.Minute):
			t.Fatal("more than one lives after a minute")
		}
	}
	answering(t, list[0]) // whichever it is: they share the socket
	running(t, d.Self(), long.task.ID)
	long.release()
	if !tellsExits(t) {
		long.want = "unknown unknown"
	}
	long.check(d.Self(), "under one of many")
	alone(t, d, 2)
	for _, other := range list {
		if rig.State(other.Cmd.Process.Pid) != "" {
			_ = other.Cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	if err := <-ended; err != nil {
		t.Errorf("the one that served ended with %v; they said:\n%s", err, d.Log())
	}
}

// The keeper is SIGKILLed while its monitor is stopped, and another is started at
// once: the stopped one is woken and ends, and only then the next begins.
func TestAStoppedMonitorHoldsUpNobody(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, endsModule, rig.Files{"deputy.toml": installed}, "--installed")
	long := startEnding(t, d, "long", "witness")
	for range 3 {
		monitor := d.Part("--role monitor")
		if err := syscall.Kill(monitor, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		rig.Eventually(t, time.Minute, "the monitor is stopped", func() bool { return rig.State(monitor) == "T" })
		_ = d.Cmd.Process.Kill()
		_ = d.Cmd.Wait()
		rig.Eventually(t, time.Minute, "a deputyd gets the journal", func() bool {
			d.Launch()
			for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				if rig.State(d.Cmd.Process.Pid) == "Z" { // refused: the stopped one had not ended within a second
					_ = d.Cmd.Wait()
					return false
				}
				if version(d) != "" {
					return true
				}
			}
			return false
		})
		answering(t, d)
		if state := rig.State(monitor); state != "" && state != "Z" {
			t.Errorf("the monitor before is %q", state)
		}
		running(t, d.Self(), long.task.ID)
	}
	alone(t, d, 4)
	stopAll(t, d)
	d.Stop()
}
