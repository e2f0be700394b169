//go:build linux

package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

// A task of this module writes its start into a file itself, then waits at a gate.
const lockModule = `
[allow]
users = ["uid:UID", "uid:1", "uid:2", "uid:3"]

[action.scan]
lock = "{key}"
params.key = { type = "string", default = "a" }
command = ["/bin/sh", "-c", 'echo "$DEPUTY_TASK" >>"$0"; read line <"$1"; exit 0', "WORK/starts", "WORK/gate"]
env.KEY = "{key}"
grace = "0s"

[action.only]
lock = "{key}"
on_busy = "reject"
params.key = { type = "string", default = "a" }
command = ["/bin/sleep", "1000"]
env.KEY = "{key}"
grace = "0s"

[action.reload]
lock = "{key}"
on_busy = "rerun"
params.key = { type = "string", default = "r" }
command = ["/bin/sh", "-c", 'echo "$DEPUTY_TASK" >>"$0"; read line <"$1"; exit 0', "WORK/starts", "WORK/gate"]
env.KEY = "{key}"

[action.each]
for_each = "key in keys"
lock = "{key}"
params.keys = { type = "array", items = { type = "string", maxLength = 5 }, maxItems = 50 }
command = ["/bin/sleep", "1000"]
env.KEY = "{key}"
grace = "0s"

[action.end]
for_each = "key in keys"
stops = "each"
lock = "{key}"
params.keys = { type = "array", items = { type = "string", maxLength = 5 }, maxItems = 50 }
`

func lockDeputy(t *testing.T, args ...string) (*rig.Deputy, gate) {
	t.Helper()
	d := prepare(t, lockModule, nil, args...)
	g := newGate(t, filepath.Join(d.Work, "gate"))
	d.Start()
	return d, g
}

func TestTwoHundredCallersOfOneLockStartOneProcess(t *testing.T) {
	d, g := lockDeputy(t)
	const callers = 200
	users := []int{os.Geteuid()}
	if os.Geteuid() == 0 {
		users = append(users, 1, 2, 3)
	}
	var asking [callers]*rig.Caller
	for i := range asking {
		asking[i] = d.As(users[i%len(users)])
		asking[i].Do("GET", "/healthz", "") // now it is connected
	}
	var given [callers]string
	began := time.Now()
	together(callers, func(i int) { given[i] = asking[i].Started("m/scan", "").ID })
	took := time.Since(began)
	for i, id := range given {
		if id != given[0] {
			t.Fatalf("caller %d was given task %s, caller 0 %s", i, id, given[0])
		}
	}
	running(t, d.Self(), given[0])
	g.open()
	task := asking[0].Ended(given[0])
	if task.State != deputy.Succeeded || len(task.Joined) != len(users) { // whoever asked again, each once
		t.Errorf("the task: %s, joined by %v of users %v", task.State, task.Joined, users)
	}
	if starts := lines(t, d.Work+"/starts"); !slices.Equal(starts, []string{given[0]}) {
		t.Errorf("processes that started: %v", starts)
	}
	if n := len(d.Events(deputy.Started)); n != 1 {
		t.Errorf("the journal has %d starts", n)
	}
	t.Logf("%d callers were answered within %v", callers, took)
}

// Once the holder has ended, the next call is work of its own.
func TestAnEndedTaskIsNotJoined(t *testing.T) {
	d, g := lockDeputy(t)
	c := d.Self()
	first := c.Started("m/scan", "")
	g.open()
	c.Ended(first.ID)
	second := c.Started("m/scan", "")
	g.open()
	if second.ID == first.ID {
		t.Errorf("task %s was given again after its end", first.ID)
	}
	c.Ended(second.ID)
}

func TestABusyLockNamesItsHolder(t *testing.T) {
	d, _ := lockDeputy(t)
	c := d.Self()
	holder := c.Started("m/only", "")
	for name, call := range map[string]string{
		"on_busy = reject":                "m/only",
		"another action of the same lock": "m/scan",
	} {
		refusal := c.Call(call, "").Refused(t, 409, deputy.Busy)
		if refusal.Task != holder.ID || !strings.Contains(refusal.Detail, holder.ID) {
			t.Errorf("%s: the refusal names %q, not the holder %s: %s", name, refusal.Task, holder.ID, refusal.Detail)
		}
	}
	if os.Geteuid() == 0 { // who may not see it is told that it is held, not what it does
		if refusal := d.As(1).Call("m/scan", "").Refused(t, 409, deputy.Busy); refusal.Task != holder.ID || strings.Contains(refusal.Detail, "m/only") {
			t.Errorf("another is told %+v", refusal)
		}
	}
	c.Started("m/only", `{"key":"another"}`)
	if n := len(d.Events(deputy.Accepted)); n != 2 {
		t.Errorf("%d requests were accepted, want 2", n)
	}
	c.Stop(holder.ID, "")
	c.Started("m/only", "") // free again as soon as the stop is answered
}

func TestTwoHundredReloadsDuringOneMakeExactlyOneMore(t *testing.T) {
	d, g := lockDeputy(t)
	c := d.Self()
	first := c.Started("m/reload", "")
	running(t, c, first.ID)
	var given [200]string
	together(len(given), func(i int) { given[i] = c.Started("m/reload", "").ID })
	second := given[0]
	for i, id := range given {
		if id != second {
			t.Fatalf("reload %d was given task %s, reload 0 %s", i, id, second)
		}
	}
	if second == first.ID {
		t.Fatal("those who ask for a reload during one must not be given that one: it may have read the files already")
	}
	if task := c.Task(second); task.State != deputy.Queued {
		t.Errorf("the second is %s while the first runs", task.State)
	}
	g.open()
	c.Ended(first.ID)
	running(t, c, second)
	g.open()
	c.Ended(second)
	if starts := lines(t, d.Work+"/starts"); !slices.Equal(starts, []string{first.ID, second}) {
		t.Errorf("started %v, want %s and %s", starts, first.ID, second)
	}
	if n := len(d.Events(deputy.Started)); n != 2 {
		t.Errorf("the journal has %d starts", n)
	}
}

// A queued task that is stopped never starts, and the lock goes on to whoever
// asks next.
func TestAQueuedTaskThatIsStoppedNeverStarts(t *testing.T) {
	d, g := lockDeputy(t)
	c := d.Self()
	first := c.Started("m/reload", "")
	running(t, c, first.ID)
	second := c.Started("m/reload", "")
	if task := c.Stop(second.ID, ""); task.State != deputy.Stopped || task.Started != nil || task.Stop == nil || !task.Stop.Empty || task.Stop.Killed != 0 {
		t.Errorf("the stopped one: %+v, receipt %+v", task, task.Stop)
	}
	third := c.Started("m/reload", "")
	if third.ID == second.ID || third.ID == first.ID {
		t.Errorf("task %s was given again", third.ID)
	}
	g.open()
	c.Ended(first.ID)
	g.open()
	c.Ended(third.ID)
	if starts := lines(t, d.Work+"/starts"); !slices.Equal(starts, []string{first.ID, third.ID}) {
		t.Errorf("started %v, want %s and %s", starts, first.ID, third.ID)
	}
}

// The tasks themselves look: a directory that exists already shows two at once.
func TestTwoActionsOfOneLockValueNeverRunTogether(t *testing.T) {
	const one = `
lock = "same"
command = ["/bin/sh", "-c", 'mkdir "$0/held" || echo overlap >>"$0/overlaps"; rmdir "$0/held"', "WORK"]
`
	d := begin(t, "[allow]\nusers = [\"uid:UID\"]\n[action.one]"+one+"[action.two]"+one, nil)
	var busy, ran atomic.Int64
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			c := d.Self()
			for range 40 {
				a := c.Call("m/"+[]string{"one", "two"}[g%2], "")
				if a.Status == 409 {
					busy.Add(1)
					c.Ended(a.Refused(t, 409, deputy.Busy).Task)
					continue
				}
				task := c.Ended(a.Tasks(t)[0].ID)
				ran.Add(1)
				if task.State != deputy.Succeeded {
					t.Errorf("%s: %s, %s", task.Action, task.State, reason(task))
				}
			}
		})
	}
	group.Wait()
	if overlaps := lines(t, d.Work+"/overlaps"); len(overlaps) > 0 {
		t.Errorf("two ran together %d times", len(overlaps))
	}
	if busy.Load() == 0 || ran.Load() == 0 {
		t.Errorf("nothing was shown: %d were given a task, %d were refused", ran.Load(), busy.Load())
	}
	t.Logf("%d were given a task, %d were refused", ran.Load(), busy.Load())
}

func TestARequestForManyIsTakenWholeOrNotAtAll(t *testing.T) {
	d, _ := lockDeputy(t)
	c := d.Self()
	holder := c.Started("m/only", `{"key":"k5"}`)
	accepted := len(d.Events(deputy.Accepted))
	keys := `{"keys":["k1","k2","k3","k4","k5","k6"]}`
	if refusal := c.Call("m/each", keys).Refused(t, 409, deputy.Busy); refusal.Task != holder.ID {
		t.Errorf("busy names %q, not %s", refusal.Task, holder.ID)
	}
	if refusal := c.Call("m/each", `{"keys":["k1","too long"]}`).Refused(t, 422, deputy.BadParam); len(refusal.Errors) == 0 || refusal.Errors[0].Param != "keys[1]" && refusal.Errors[0].Param != "keys" {
		t.Errorf("the refusal does not name the bad item: %+v", refusal)
	}
	if now := len(d.Events(deputy.Accepted)); now != accepted {
		t.Errorf("%d requests were accepted of those refused", now-accepted)
	}
	for _, key := range []string{"k1", "k2", "k3", "k4", "k6"} {
		c.Stop(c.Started("m/only", `{"key":"`+key+`"}`).ID, "") // each is free
	}
	c.Stop(holder.ID, "")
	// Equal items are one task, named for each; each task has its own values.
	tasks := c.Call("m/each", `{"keys":["k1","k2","k1"]}`).Tasks(t)
	if len(tasks) != 3 || tasks[0].Params["key"] != "k1" || tasks[1].Params["key"] != "k2" || tasks[2].ID != tasks[0].ID || tasks[0].Params["keys"] != nil {
		t.Errorf("k1, k2 and k1 gave %+v", tasks)
	}
}

func TestAStopsActionStopsThoseThatHoldItsLocks(t *testing.T) {
	d, _ := lockDeputy(t)
	c := d.Self()
	tasks := c.Call("m/each", `{"keys":["k1","k2","k3"]}`).Tasks(t)
	other := c.Started("m/only", `{"key":"k9"}`) // holds a lock, but is not what m/end stops
	for _, task := range append(tasks, other) {
		running(t, c, task.ID)
	}
	stopped := c.Call("m/end?wait=30", `{"keys":["k2","k3","none","k9"]}`).Tasks(t)
	if want := ids(tasks[1:]); !slices.Equal(ids(stopped), want) {
		t.Fatalf("stopped %v, want %v", ids(stopped), want)
	}
	for _, task := range stopped {
		if task.State != deputy.Stopped || task.Stop == nil || !task.Stop.Empty || !strings.Contains(reason(task), "m/end") {
			t.Errorf("%s: %s, %q, receipt %+v", task.ID, task.State, reason(task), task.Stop)
		}
		if left := rig.Living(task.ID); len(left) > 0 {
			t.Errorf("of %s live %v", task.ID, left)
		}
	}
	for _, task := range []deputy.Task{tasks[0], other} {
		if now := c.Task(task.ID); now.State != deputy.Running {
			t.Errorf("%s was not to be stopped: %s", task.ID, now.State)
		}
	}
	if none := c.Call("m/end", `{"keys":["k2"]}`); !strings.Contains(string(none.Body), `"tasks":[]`) {
		t.Errorf("where there is nothing to stop: %s", none.Body)
	}
}

// The same key gives the same tasks, however many ask at once, and after a
// restart of deputy, too.
func TestTheSameIdempotencyKeyGivesTheSameTasks(t *testing.T) {
	rig.NeedRoot(t)
	d := prepare(t, `
user = "root"
[allow]
users = ["uid:0", "uid:1"]
[action.start]
command = ["/bin/sh", "-c", 'echo "$DEPUTY_TASK" >>"$0"; read line <"$1"; exit 0', "WORK/starts", "WORK/gate"]
params.n = { type = "integer", default = 1 }
env.N = "{n}"
[action.other]
command = ["/bin/true"]
`, rig.Files{"deputy.toml": installed}, "--installed")
	g := newGate(t, filepath.Join(d.Work, "gate"))
	d.Start()
	c := d.Self()
	const key = "Idempotency-Key"
	var given [100]string
	var fresh atomic.Int64
	together(len(given), func(i int) {
		a := c.Call("m/start", `{"n":7}`, key, "one")
		given[i] = a.Tasks(t)[0].ID
		if a.Header.Get("Idempotency-Replayed") != "true" {
			fresh.Add(1)
		}
	})
	for i, id := range given {
		if id != given[0] {
			t.Fatalf("request %d was given %s, request 0 %s", i, id, given[0])
		}
	}
	if fresh.Load() != 1 {
		t.Errorf("%d of %d answers say that they are no replay, want 1", fresh.Load(), len(given))
	}
	check := func(state deputy.State) {
		t.Helper()
		a := c.Call("m/start", `{"n":7.0}`, key, "one") // the same value
		task := a.Tasks(t)[0]
		if task.ID != given[0] || task.State != state || a.Header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("task %s, state %s, headers %v", task.ID, task.State, a.Header)
		}
		for _, other := range []string{"m/start {\"n\":8}", "m/start {}", "m/other {}"} {
			action, params, _ := strings.Cut(other, " ")
			if refusal := c.Call(action, params, key, "one").Refused(t, 422, deputy.IdempotencyMismatch); !strings.Contains(refusal.Detail, `"one"`) {
				t.Errorf("%s: %s", other, refusal.Detail)
			}
		}
	}
	running(t, c, given[0])
	check(deputy.Running)
	if theirs := d.As(1).Started("m/start", `{"n":7}`, key, "one"); theirs.ID == given[0] {
		t.Error("another caller's key is another key")
	} else {
		c.Stop(theirs.ID, `{"grace":"0s"}`)
	}
	d.Stop()
	d.Start()
	check(deputy.Running)
	g.open()
	c.Ended(given[0])
	check(deputy.Succeeded)
	d.Stop()
	d.Start()
	check(deputy.Succeeded)
	if starts := lines(t, d.Work+"/starts"); len(starts) > 2 || starts[0] != given[0] {
		t.Errorf("started: %v", starts)
	}
	for _, bad := range []string{"", "two words", strings.Repeat("k", 256), "ümlaut"} {
		c.Call("m/other", "", key, bad).Refused(t, 400, deputy.BadRequest)
	}
	c.Call("m/other", "", key, strings.Repeat("k", 255)).Tasks(t)
	d.Verify()
}
