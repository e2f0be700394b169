//go:build linux

package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/test/rig"
)

// Tasks that end in every way, each when its own gate is opened.
const endsModule = `
user = "root"
[allow]
users = ["uid:0"]
[action.code]
command = ["/bin/sh", "-c", 'echo ready; read line <"$0"; exit "$1"', "{gate}", "{code}"]
params.gate = { type = "string" }
params.code = { type = "integer" }
[action.signal]
command = ["/bin/sh", "-c", 'echo ready; read line <"$0"; kill -s "$1" $$', "{gate}", "{signal}"]
params.gate = { type = "string" }
params.signal = { type = "string" }
[action.witness]
command = ["CAST", "witness", "{gate}"]
params.gate = { type = "string" }
[action.stubborn]
command = ["CAST", "tree", "{n}", "ignore"]
params.n = { type = "integer" }
grace = "100ms"
[action.short]
command = ["CAST", "tree", "1", "obey"]
timeout = "3s"
[action.once]
command = ["/bin/sh", "-c", 'echo "$DEPUTY_TASK" >>"$0"', "WORK/starts"]
`

// ending is a task and the one end that it must have.
type ending struct {
	gate gate
	task deputy.Task
	want string // state, exit
}

// start makes a task that ends as what says: a code, or a signal's name.
func startEnding(t *testing.T, d *rig.Deputy, name, what string) ending {
	t.Helper()
	e := ending{gate: newGate(t, filepath.Join(d.Work, name))}
	c := d.Self()
	switch {
	case what == "witness":
		e.task = c.Started("m/witness", text(`{"gate":%q}`, e.gate.path))
		e.want = "succeeded code 0"
	case strings.HasPrefix(what, "SIG"):
		e.task = c.Started("m/signal", text(`{"gate":%q,"signal":%q}`, e.gate.path, strings.TrimPrefix(what, "SIG")))
		e.want = "failed " + what
	default:
		e.task = c.Started("m/code", text(`{"gate":%q,"code":%s}`, e.gate.path, what))
		e.want = "failed code " + what
		if what == "0" {
			e.want = "succeeded code 0"
		}
	}
	running(t, c, e.task.ID) // its birth is in the journal, too
	ready(t, c, e.task.ID)
	return e
}

func endOf(task deputy.Task) string {
	switch x := task.Exit; {
	case x == nil:
		return string(task.State) + " without an exit"
	case x.Code != nil:
		return fmt.Sprintf("%s code %d", task.State, *x.Code)
	case x.Signal != "":
		return string(task.State) + " " + x.Signal
	}
	return string(task.State) + " unknown"
}

// release lets the task end, and waits until its process is gone or waits for
// its parent.
func (e ending) release() {
	e.gate.t.Helper()
	pids := rig.Living(e.task.ID)
	e.gate.open()
	rig.Eventually(e.gate.t, 20*time.Second, "the process of "+e.task.ID+" ends", func() bool {
		for _, pid := range pids {
			if s := rig.State(pid); s != "" && s != "Z" && s != "X" {
				return false
			}
		}
		return true
	})
}

func (e ending) check(c *rig.Caller, when string) {
	e.gate.t.Helper()
	task := c.Ended(e.task.ID)
	if got := endOf(task); got != e.want {
		e.gate.t.Errorf("a task that ended %s: %s (%s), want %s", when, got, reason(task), e.want)
	}
	if task.Attempt != 1 {
		e.gate.t.Errorf("a task that ended %s was started %d times", when, task.Attempt)
	}
}

// The monitor is SIGKILLed, 20 times in all. Tasks live on, the next monitor
// knows them, and their exits are exact: also of those that ended while no
// monitor lived.
func TestTheMonitorIsKilledAndEveryExitStaysExact(t *testing.T) {
	rig.NeedRoot(t)
	const rounds = 5 // for each deputy: the keeper gives a monitor that keeps dying more and more time
	for _, args := range [][]string{{"--installed"}, {"--installed"}, {"--installed"}, {"--installed", "--no-cgroup"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			d := begin(t, endsModule, rig.Files{"deputy.toml": installed}, args...)
			long := startEnding(t, d, "long", "witness")
			for round := range rounds {
				killMonitorOnce(t, d, round)
			}
			c := d.Self()
			running(t, c, long.task.ID)
			long.release()
			long.check(c, "after "+fmt.Sprint(rounds)+" monitors")
			if out := c.Stdout(long.task.ID); out != "ready\n" {
				t.Errorf("it noticed: %q", out)
			}
			if n := len(d.Events(deputy.MonitorStart)); n != rounds+1 {
				t.Errorf("%d monitors started, want %d", n, rounds+1)
			}
			d.Verify()
			stopAll(t, d)
			d.Stop()
		})
	}
}

func killMonitorOnce(t *testing.T, d *rig.Deputy, round int) {
	t.Helper()
	what := []string{"7", "0", "SIGKILL", "SIGSEGV", "255"}
	var during, after []ending
	for i := range 3 {
		kind := what[(round+i)%len(what)]
		during = append(during, startEnding(t, d, text("during-%d-%d", round, i), kind))
		after = append(after, startEnding(t, d, text("after-%d-%d", round, i), kind))
	}
	monitor := d.Part("--role monitor")
	keeper := d.Cmd.Process
	// The keeper is held, so that no monitor lives until we say so.
	if err := keeper.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(monitor, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	rig.Eventually(t, 10*time.Second, "the monitor is dead", func() bool { return rig.State(monitor) == "Z" })
	for _, e := range during {
		e.release()
	}
	if err := keeper.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	answering(t, d)
	c := d.Self()
	for _, e := range after {
		running(t, c, e.task.ID)
	}
	for _, e := range during {
		e.check(c, "while no monitor lived")
	}
	for _, e := range after {
		e.release()
		e.check(c, "under the next monitor")
	}
}

func answering(t *testing.T, d *rig.Deputy) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	d.Answering(ctx)
}

// stopAll ends what lives, as whoever ends a test of an installed deputy must.
func stopAll(t *testing.T, d *rig.Deputy) {
	t.Helper()
	var list struct{ Tasks []deputy.Task }
	c := d.Self()
	c.Do("GET", "/v1/tasks?state=running,queued,stopping,awaiting_approval", "").Read(t, 200, &list)
	for _, task := range list.Tasks {
		none(t, c.Stop(task.ID, `{"grace":"0s"}`))
	}
}

// tellsExits says whether this kernel tells how a process ended that another
// has reaped (PIDFD_INFO_EXIT, Linux 6.15).
func tellsExits(t *testing.T) bool {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	return major > 6 || major == 6 && minor >= 15
}

// SIGTERM of an installed deputy, and the death of all its processes at once,
// leave every task alive. The next start takes them up; of what ended meanwhile
// no code is guessed.
func TestTasksOutliveTheirDeputy(t *testing.T) {
	rig.NeedRoot(t)
	for name, end := range map[string]func(*rig.Deputy){"SIGTERM": (*rig.Deputy).Stop, "SIGKILL of all": (*rig.Deputy).Crash} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of the time PID 1 is waited for
			d := begin(t, endsModule, rig.Files{"deputy.toml": installed}, "--installed")
			seven := startEnding(t, d, "seven", "7")
			signal := startEnding(t, d, "signal", "SIGKILL")
			meanwhile := startEnding(t, d, "meanwhile", "3")
			witness := startEnding(t, d, "witness", "witness")
			c := d.Self()
			tree := c.Started("m/stubborn", `{"n":50}`)
			ready(t, c, tree.ID)
			end(d)
			for _, e := range []ending{seven, signal, meanwhile, witness} {
				if n := len(rig.Living(e.task.ID)); n != 1 {
					t.Fatalf("%d processes of a task live after the end of deputy", n)
				}
			}
			if n := len(rig.Living(tree.ID)); n != 50 {
				t.Errorf("%d of the tree of 50 live", n)
			}
			gone := rig.Living(meanwhile.task.ID)[0]
			meanwhile.release()
			// Until PID 1 has reaped it the next start could still learn its code.
			rig.Eventually(t, 20*time.Second, "PID 1 reaps it", func() bool { return rig.State(gone) == "" })
			d.Start()
			c = d.Self()
			for _, e := range []ending{seven, signal, witness} {
				running(t, c, e.task.ID)
			}
			if task := c.Ended(meanwhile.task.ID); endOf(task) != "unknown unknown" || reason(task) == "" || task.Exit.Unknown == "" {
				t.Errorf("a task that ended while no deputy lived: %s, %q", endOf(task), reason(task))
			}
			for _, e := range []ending{seven, signal, witness} {
				e.release()
			}
			for _, e := range []ending{seven, signal, witness} {
				if !tellsExits(t) {
					e.want = "unknown unknown"
				}
				e.check(c, "under the next deputy")
			}
			tree = c.Stop(tree.ID, "")
			none(t, tree)
			receipt(t, tree, "cgroup", 50)
			d.Verify()
		})
	}
}

// Time runs on while no deputy lives: a task that was started with 3 s has 3 s.
func TestTheTimeoutRunsOnAcrossRestarts(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, endsModule, rig.Files{"deputy.toml": installed}, "--installed")
	c := d.Self()
	task := c.Started("m/short", "")
	ready(t, c, task.ID)
	for range 2 {
		d.Crash()
		d.Start()
	}
	task = d.Self().Ended(task.ID)
	none(t, task)
	// Its end may be later: the status of an adopted task waits for PID 1.
	stop := d.Events(deputy.StopRequested)[0]
	if took := stop.Time.Sub(task.Started.Time); task.State != deputy.TimedOut || took < 2990*time.Millisecond || took > 5*time.Second {
		t.Errorf("%s, %s, its time was over after %v; want timed_out after 3 s", task.State, reason(task), took)
	}
}

// A stop that was accepted is done, whichever monitor does it.
func TestAStopOutlivesItsMonitor(t *testing.T) {
	rig.NeedRoot(t)
	module := strings.Replace(endsModule, `grace = "100ms"`, `grace = "1s"`, 1)
	d := begin(t, module, rig.Files{"deputy.toml": installed}, "--installed")
	c := d.Self()
	task := c.Started("m/stubborn", `{"n":20}`)
	ready(t, c, task.ID)
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		c.Try("POST", "/v1/tasks/"+task.ID+"/stop", "") // its answer is lost with the monitor
	}()
	rig.Eventually(t, 10*time.Second, "the stop is recorded", func() bool { return len(d.Events(deputy.StopRequested)) == 1 })
	d.Crash()
	<-asked
	d.Start()
	task = d.Self().Ended(task.ID)
	none(t, task)
	receipt(t, task, "cgroup", 20)
	if task.State != deputy.Stopped {
		t.Errorf("%s, %s", task.State, reason(task))
	}
}

// Under load the monitor dies again and again: nothing that was acknowledged is
// lost, and nothing starts twice.
func TestTheMonitorIsKilledUnderLoad(t *testing.T) {
	rig.NeedRoot(t)
	const rounds, clients = 5, 16
	d := begin(t, strings.Replace(loadModule, "USER", `user = "root"`, 1), rig.Files{"deputy.toml": installed}, "--installed")
	l := newLoad(t, d, "once", clients)
	for range rounds {
		from := l.acked.Load()
		rig.Eventually(t, 60*time.Second, "the load goes on", func() bool { return l.acked.Load() >= from+10*clients })
		if err := syscall.Kill(d.Part("--role monitor"), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	from := l.acked.Load()
	rig.Eventually(t, 60*time.Second, "the load goes on", func() bool { return l.acked.Load() >= from+10*clients })
	l.end()
	tasks := l.whole()
	starts := map[string]int{}
	for _, id := range lines(t, d.Work+"/starts") {
		starts[id]++
	}
	ends := map[string]int{}
	for id, task := range tasks {
		ends[string(task.State)+" "+reason(task)]++
		switch {
		case starts[id] > 1:
			t.Errorf("task %s was started %d times", id, starts[id])
		case task.State == deputy.Unknown && reason(task) != "":
		case task.State != deputy.Succeeded || starts[id] != 1:
			t.Errorf("task %s: %s, %s; its process wrote %d times", id, task.State, reason(task), starts[id])
		}
	}
	d.Verify()
	t.Logf("%d kills of the monitor, %d requests acknowledged, %d asked again, %d connections refused; ends: %v",
		rounds, l.acked.Load(), l.retried.Load(), l.refused.Load(), ends)
}

// The history is an index that can be thrown away.
func TestTheHistoryIsRebuiltFromTheJournal(t *testing.T) {
	rig.NeedRoot(t)
	d := begin(t, endsModule, rig.Files{"deputy.toml": installed}, "--installed")
	c := d.Self()
	var last deputy.Task
	for range 20 {
		last = c.Started("m/once", "")
	}
	c.Ended(last.ID)
	rig.Eventually(t, 20*time.Second, "all have ended", func() bool { return len(d.Events(deputy.Ended)) == 20 })
	before := c.Do("GET", "/v1/tasks?limit=100", "").Body
	d.Stop()
	files, err := filepath.Glob(filepath.Join(d.State, "server", "history.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there is no history to throw away: %v", err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	d.Start()
	if after := d.Self().Do("GET", "/v1/tasks?limit=100", "").Body; string(after) != string(before) {
		t.Errorf("the history was\n%s\nand is\n%s", before, after)
	}
	// One of garbage is as good as none.
	d.Stop()
	if err := os.WriteFile(files[0], []byte(strings.Repeat("garbage ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Start()
	if after := d.Self().Do("GET", "/v1/tasks?limit=100", "").Body; string(after) != string(before) {
		t.Errorf("after garbage the history was\n%s\nand is\n%s", before, after)
	}
}
