//go:build linux

package test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

// The trees play themselves: see test/cast.
const treeModule = `
[allow]
users = ["uid:UID"]

[action.tree]
command = ["CAST", "tree", "{n}", "{how}"]
params.n = { type = "integer" }
params.how = { type = "string" }
grace = "200ms"

[action.obeys]
command = ["CAST", "tree", "{n}", "obey"]
params.n = { type = "integer" }
grace = "30s"

[action.storm]
command = ["CAST", "storm", "{n}"]
params.n = { type = "integer" }
grace = "200ms"

[action.patient]
command = ["CAST", "tree", "{n}", "ignore"]
params.n = { type = "integer" }
grace = "1h"

[action.short]
command = ["CAST", "tree", "{n}", "ignore"]
params.n = { type = "integer" }
timeout = "2s"
grace = "100ms"

[action.leave]
command = ["CAST", "leave", "{n}"]
params.n = { type = "integer" }

[action.usr1]
command = ["/bin/sh", "-c", 'trap "echo got USR1; exit 3" USR1; trap "echo got TERM; exit 4" TERM; echo ready; while :; do sleep 1000 & wait; done']
stop_signal = "SIGUSR1"

[action.protected]
command = ["/bin/sleep", "1000"]
stoppable = false
grace = "0s"
`

// proof is a way of holding trees: its flag, and how large a tree it must take.
type proof struct {
	name string
	args []string
	size int
}

func proofs(t *testing.T) []proof {
	fallback := proof{"subreaper", []string{"--no-cgroup"}, 300}
	if os.Geteuid() != 0 {
		return []proof{fallback}
	}
	return []proof{{"cgroup", nil, 1000}, fallback}
}

// none fails if anything of a task lives, wherever it has gone.
func none(t *testing.T, task deputy.Task) {
	t.Helper()
	if left := rig.Living(task.ID); len(left) > 0 {
		t.Errorf("of task %s live %d processes, like %d", task.ID, len(left), left[0])
	}
}

// receipt checks the one of a stop after which nothing lives.
func receipt(t *testing.T, task deputy.Task, by string, killed int) {
	t.Helper()
	r := task.Stop
	switch {
	case r == nil:
		t.Fatalf("task %s, %s, has no receipt", task.ID, task.State)
	case !r.Empty || len(r.Survivors) > 0 || r.Proof != by:
		t.Errorf("receipt: %+v, want an empty tree by %s", *r, by)
	case killed >= 0 && r.Killed != killed:
		t.Errorf("receipt: %d killed, want %d", r.Killed, killed)
	}
}

// Neither setsid nor a double fork nor an ignored signal lets anything outlive
// the stop of its task.
func TestNothingOfAStoppedTreeLives(t *testing.T) {
	for _, by := range proofs(t) {
		t.Run(by.name, func(t *testing.T) {
			d := begin(t, treeModule, nil, by.args...)
			c := d.Self()
			n, obey := by.size, 0
			for _, test := range []struct {
				how, action, params string
				killed              int
			}{
				{"obey", "m/obeys", text(`{"n":%d}`, n), obey},
				{"ignore", "m/tree", text(`{"n":%d,"how":"ignore"}`, n), n},
				{"freeze", "m/tree", text(`{"n":%d,"how":"freeze"}`, n), n},
			} {
				t.Run(test.how, func(t *testing.T) {
					task := c.Started(test.action, test.params)
					ready(t, c, task.ID)
					rig.Eventually(t, 20*time.Second, "the whole tree lives", func() bool { return len(rig.Living(task.ID)) == n })
					began := time.Now()
					task = c.Stop(task.ID, "")
					took := time.Since(began)
					none(t, task)
					receipt(t, task, by.name, test.killed)
					if task.State != deputy.Stopped || !task.Stop.Signalled || !strings.Contains(reason(task), "stopped by uid:") {
						t.Errorf("%s, %q, receipt %+v", task.State, reason(task), task.Stop)
					}
					if test.killed > 0 && (task.Stop.TookMS < 200 || task.Stop.TookMS > took.Milliseconds()+1) {
						t.Errorf("it took %d ms by the receipt, with a grace of 200 ms and an answer after %v", task.Stop.TookMS, took)
					}
					t.Logf("%d processes: %d killed, %d ms, of which 200 are the grace period if any was killed", n, task.Stop.Killed, task.Stop.TookMS)
				})
			}
			if by.name == "cgroup" {
				rig.Eventually(t, 10*time.Second, "the cgroups are removed", func() bool { return len(d.Leaves()) == 0 })
			}
		})
	}
}

// Of a tree that never stops forking no list stays true.
func TestAForkStormIsStopped(t *testing.T) {
	rig.NeedRoot(t) // the fallback does not promise it
	const runners = 20
	d := begin(t, treeModule, nil)
	c := d.Self()
	task := c.Started("m/storm", text(`{"n":%d}`, runners))
	ready(t, c, task.ID)
	task = c.Stop(task.ID, "")
	none(t, task)
	receipt(t, task, "cgroup", -1)
	if k := task.Stop.Killed; k < runners || k > 10*runners {
		t.Errorf("%d of %d runners and their first process killed", k, runners)
	}
	t.Logf("%d killed, %d ms with the grace period of 200 ms", task.Stop.Killed, task.Stop.TookMS)
}

func TestATimedOutTreeIsEnded(t *testing.T) {
	for _, by := range proofs(t) {
		t.Run(by.name, func(t *testing.T) {
			d := begin(t, treeModule, nil, by.args...)
			c := d.Self()
			task := c.Started("m/short", `{"n":100}`)
			ready(t, c, task.ID)
			task = c.Ended(task.ID)
			none(t, task)
			receipt(t, task, by.name, 100)
			if task.State != deputy.TimedOut || !strings.Contains(reason(task), "2s") || task.Exit == nil || task.Exit.Signal != "SIGKILL" {
				t.Errorf("%s, %q, exit %+v", task.State, reason(task), task.Exit)
			}
			if took := task.Ended.Sub(task.Started.Time); took < 2100*time.Millisecond {
				t.Errorf("it ended after %v, before its time of 2 s and its grace of 100 ms were over", took)
			}
		})
	}
}

// What the first process leaves behind when it ends by itself is ended, too,
// and counted; its exit code stays what it was.
func TestWhatATaskLeavesBehindIsEndedAndCounted(t *testing.T) {
	for _, by := range proofs(t) {
		t.Run(by.name, func(t *testing.T) {
			d := begin(t, treeModule, nil, by.args...)
			c := d.Self()
			task := c.Ended(c.Started("m/leave", `{"n":50}`).ID)
			none(t, task)
			if task.State != deputy.Succeeded || task.Leftover == nil || *task.Leftover != 50 || task.Stop != nil || *task.Exit.Code != 0 {
				t.Errorf("%s, %q, leftover %v, exit %+v, receipt %+v", task.State, reason(task), task.Leftover, task.Exit, task.Stop)
			}
			if clean := c.Ended(c.Started("m/leave", `{"n":0}`).ID); clean.Leftover == nil || *clean.Leftover != 0 {
				t.Errorf("one that leaves nothing: leftover %v", clean.Leftover)
			}
		})
	}
}

// A second stop may only shorten the grace period, and both are answered with
// the one receipt; so is any later one.
func TestAskingAgainShortensTheGrace(t *testing.T) {
	d := begin(t, treeModule, nil)
	c := d.Self()
	task := c.Started("m/patient", `{"n":20}`)
	ready(t, c, task.ID)
	first := make(chan deputy.Task, 1)
	go func() { first <- c.Stop(task.ID, `{"grace":"100h"}`) }() // longer than declared: as declared
	rig.Eventually(t, 10*time.Second, "the stop has begun", func() bool { return c.Task(task.ID).State == deputy.Stopping })
	if n := len(rig.Living(task.ID)); n != 20 {
		t.Errorf("%d of 20 live during the grace period", n)
	}
	second := c.Stop(task.ID, `{"grace":"50ms"}`)
	again := c.Stop(task.ID, "")
	one := <-first
	none(t, task)
	for _, told := range []deputy.Task{one, second, again} {
		receipt(t, told, again.Stop.Proof, 20)
		if told.Stop.TookMS != one.Stop.TookMS || told.State != deputy.Stopped {
			t.Errorf("another receipt: %+v, %s", told.Stop, told.State)
		}
	}
	if n := len(d.Events(deputy.StopRequested)); n != 1 {
		t.Errorf("the journal has %d stops", n)
	}
	for _, bad := range []string{`{"grace":5}`, `{"grace":"-1s"}`, `{"grace":"soon"}`, `{"speed":"5s"}`, `{"grace":"5s","grace":"1s"}`} {
		if a := c.Do("POST", "/v1/tasks/"+task.ID+"/stop", bad); a.Status != 400 {
			t.Errorf("%s: status %d, %s", bad, a.Status, a.Body)
		}
	}
}

// Many who stop at once are all answered once nothing lives.
func TestManyStopsAreOneStop(t *testing.T) {
	d := begin(t, treeModule, nil)
	c := d.Self()
	task := c.Started("m/tree", `{"n":30,"how":"ignore"}`)
	ready(t, c, task.ID)
	var told [50]deputy.Task
	together(len(told), func(i int) { told[i] = c.Stop(task.ID, "") })
	none(t, task)
	for _, one := range told {
		receipt(t, one, told[0].Stop.Proof, 30)
	}
	if n := len(d.Events(deputy.Ended)); n != 1 {
		t.Errorf("the task has %d ends", n)
	}
}

func TestTheDeclaredSignalIsSent(t *testing.T) {
	d := begin(t, treeModule, nil)
	c := d.Self()
	task := c.Started("m/usr1", "")
	ready(t, c, task.ID)
	task = c.Stop(task.ID, `{"grace":"10s"}`)
	none(t, task)
	if out := c.Stdout(task.ID); out != "ready\ngot USR1\n" || task.Exit == nil || task.Exit.Code == nil || *task.Exit.Code != 3 || task.State != deputy.Stopped {
		t.Errorf("it said %q and ended as %s with %+v", out, task.State, task.Exit)
	}
}

func TestWhatIsNotStoppableIsStoppedByForceAlone(t *testing.T) {
	d := begin(t, treeModule, nil)
	c := d.Self()
	task := c.Started("m/protected", "")
	running(t, c, task.ID)
	refusal := c.Do("POST", "/v1/tasks/"+task.ID+"/stop", "").Refused(t, 409, deputy.NotStoppable)
	if refusal.Task != task.ID || !strings.Contains(refusal.Detail, "deputy stop --force "+task.ID) {
		t.Errorf("%+v", refusal)
	}
	task = c.Stop(task.ID, `{"force":true}`)
	none(t, task)
	receipt(t, task, task.Stop.Proof, 1)
}

// deputy up ends in good order: it stops every task and leaves nothing.
func TestTheEndOfUpLeavesNothing(t *testing.T) {
	for _, by := range proofs(t) {
		t.Run(by.name, func(t *testing.T) {
			d := begin(t, treeModule, nil, by.args...)
			c := d.Self()
			var tasks []deputy.Task
			for range 5 {
				task := c.Started("m/tree", `{"n":20,"how":"ignore"}`)
				ready(t, c, task.ID)
				tasks = append(tasks, task)
			}
			leaves := d.Leaves()
			if by.name == "cgroup" && len(leaves) != len(tasks) {
				t.Errorf("%d cgroups for %d tasks", len(leaves), len(tasks))
			}
			d.Stop()
			for _, task := range tasks {
				none(t, task)
			}
			if left := slices.DeleteFunc(leaves, func(dir string) bool { _, err := os.Stat(dir); return err != nil }); len(left) > 0 {
				t.Errorf("cgroups are left: %v", left)
			}
			if _, err := os.Stat(d.Socket); err == nil {
				t.Error("the socket is left")
			}
			ended := d.Events(deputy.Ended)
			if len(ended) != len(tasks) {
				t.Errorf("%d ends in the journal, want %d", len(ended), len(tasks))
			}
			for _, e := range ended {
				if e.State != deputy.Stopped || e.Receipt == nil || !e.Receipt.Empty {
					t.Errorf("%s: %s, receipt %+v", e.Task, e.State, e.Receipt)
				}
			}
			d.Verify()
		})
	}
}
