//go:build linux

package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"deputy/test/rig"
)

// point is a system call of the monitor. It is killed on its way into the call,
// so that what it did before is done and the call is not.
type point struct {
	calls string // as strace names them; those that a machine lacks begin with ?
	when  string // what the monitor is about to do
	only  bool   // only on the journal's file
	times int    // kills at the first, the second, … call of a thread
}

func points() []point {
	return []point{
		{"fdatasync", "make records durable", false, 5},
		{"write", "write records", true, 5},
		{"?mkdir,?mkdirat", "make a leaf, or a task's directory", false, 4},
		{"?clone,?clone3", "give birth", false, 2},
		{"fsetxattr", "mark a birth", false, 2},
		{"epoll_ctl", "watch a process that was born, or no longer", false, 4},
		{"waitid", "read a status", false, 2},
		{"wait4", "take a status whose end is durable", false, 2},
		{"?rmdir,?unlinkat", "remove a leaf", false, 2},
	}
}

// startPoints are where a monitor dies that is taking up what the one before left.
func startPoints() []point {
	return []point{
		{"fdatasync", "make durable what it found", false, 1},
		{"write", "record that it began", true, 1},
		{"fallocate", "make the journal's reserve", false, 1},
		{"pidfd_open", "adopt a task", false, 2},
	}
}

// The monitor dies at every point where what it has done and what it has
// written differ.
func TestEveryKillPoint(t *testing.T) {
	rig.NeedRoot(t)
	x := begin(t, setting(t, "FAULTS_SEED", shortSeed))
	rounds := setting(t, "FAULTS_SWEEPS", 0)
	for range max(rounds, 1) {
		for _, p := range points() {
			if rounds == 0 { // a part of make test
				p.times = 1 + p.times/5
			}
			for n := 1; n <= p.times; n++ {
				x.loaded(t, "the load goes on before "+p.when)
				x.killAt(t, p, n)
			}
		}
		for _, p := range startPoints() {
			for n := 1; n <= p.times; n++ {
				x.loaded(t, "the load goes on before a start")
				x.killStart(t, p, n)
			}
		}
	}
	x.judge(t)
}

// strace is the part of its command line that says where to kill.
func (x *trial) strace(p point, n int) []string {
	args := []string{"-o", "/dev/null", "-e", "trace=" + p.calls, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", p.calls, n)}
	if p.only {
		segments, _ := filepath.Glob(filepath.Join(x.d.State, "journal", "*.jsonl"))
		args = append(args, "-P", segments[len(segments)-1])
	}
	return args
}

// killAt has a running monitor die at the nth call of one of its threads.
// strace is attached to each thread by itself, for of what it follows the tasks
// would be part, and die at the same calls.
func (x *trial) killAt(t *testing.T, p point, n int) {
	t.Helper()
	old := x.i.pid(monitor)
	args := x.strace(p, n)
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", old))
	for _, thread := range threads {
		args = append(args, "-p", thread.Name())
	}
	f := fault{What: fmt.Sprintf("SIGKILL of the monitor at %s %d, about to %s", p.calls, n, p.when), From: now(), Monitor: true}
	tracer := exec.Command("strace", args...)
	if err := tracer.Start(); err != nil {
		t.Fatal(err)
	}
	dead := func() bool { return x.i.pid(monitor) != old }
	for end := time.Now().Add(3 * time.Second); !dead() && time.Now().Before(end); {
		time.Sleep(2 * time.Millisecond)
	}
	if !dead() { // its threads have not come so far
		_ = tracer.Process.Signal(syscall.SIGTERM)
		_ = tracer.Wait()
		x.i.counts["points that were not reached"]++
		return
	}
	_ = tracer.Wait()
	x.died(f)
}

// killStart has the first monitor of a new keeper die while it begins.
func (x *trial) killStart(t *testing.T, p point, n int) {
	t.Helper()
	f := fault{What: fmt.Sprintf("SIGKILL of all, and of the next monitor at %s %d, about to %s", p.calls, n, p.when), From: now(), Monitor: true, Orphaned: true}
	x.d.Wrapper = append([]string{"strace", "-f"}, x.strace(p, n)...)
	x.i.killAll([]string{keeper, monitor, server})
	x.d.Wrapper = nil
	ended := make(chan error, 1)
	go func() { ended <- x.d.Cmd.Wait() }()
	select {
	case <-ended: // with its keeper, for it was the first
		x.i.counts["first monitors that died"]++
		x.i.launch()
	case <-time.After(3 * time.Second):
		x.i.counts["points that were not reached"]++
		x.i.killTraced()
		<-ended
		x.i.launch()
	}
	x.died(f)
}

// died waits until deputy answers again, and replaces a keeper that grows slow.
func (x *trial) died(f fault) {
	x.i.deaths++
	x.i.answering()
	f.To = now()
	x.r.fault(f)
	if x.i.deaths >= maxDeaths {
		f = fault{What: "SIGTERM and a new start", From: now(), Monitor: true, Orphaned: true}
		x.i.restart()
		x.i.answering()
		f.To = now()
		x.r.fault(f)
	}
}
