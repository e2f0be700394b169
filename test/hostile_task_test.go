//go:build linux

package test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

// A task's user is hostile here: its processes stop, trace and delay what they
// may of deputy's. Nobody else may notice.

const hostileUID = 5 // games: nothing else on the machine runs as it

const hostileTaskModule = `
[allow]
users = ["uid:0"]
[action.quick]
user = "root"
command = ["/bin/echo", "ok"]
[action.stay]
user = "root"
command = ["/bin/sleep", "1000"]
grace = "0s"
[action.victim]
user = "games"
command = ["/bin/echo", "ok"]
grace = "1s"
[action.one]
user = "games"
lock = "one"
command = ["/bin/sleep", "1000"]
grace = "1s"
[action.there]
user = "games"
directory = "WORK/there"
command = ["/bin/pwd"]
grace = "1s"
[action.reads]
user = "games"
command = ["/bin/cat"]
stdin_file = "{file}"
params.file = { type = "string", format = "path", under = "WORK/there" }
[action.holds-key]
user = "root"
command = ["CAST", "key", "add", "deputy-test"]
grace = "0s"
[action.looks]
user = "games"
command = ["CAST", "key", "look", "deputy-test"]
`

// asGames starts a part of the cast outside of deputy, as the hostile user, and
// returns once it is ready.
func asGames(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return asAnother(t, hostileUID, args...)
}

// othersAreServed runs short tasks of another user, starts and stops a long one,
// and says how long the slowest took.
func othersAreServed(t *testing.T, d *rig.Deputy) {
	t.Helper()
	c := d.Self()
	defer c.Close()
	var took []time.Duration
	for range 20 {
		begun := time.Now()
		if task := c.Ended(c.Started("m/quick", "").ID); task.State != deputy.Succeeded {
			t.Errorf("a task of another user: %s, %s", task.State, reason(task))
		}
		took = append(took, time.Since(begun))
	}
	begun := time.Now()
	stay := c.Started("m/stay", "")
	running(t, c, stay.ID)
	if task := c.Stop(stay.ID, ""); task.State != deputy.Stopped {
		t.Errorf("a stop of another user's task: %s", task.State)
	}
	took = append(took, time.Since(begun))
	slices.Sort(took)
	t.Logf("others: median %v, slowest %v", took[len(took)/2], took[len(took)-1])
	if slowest := took[len(took)-1]; slowest > 4*time.Second {
		t.Errorf("another user's task took %v", slowest)
	}
}

func hostile(t *testing.T) *rig.Deputy {
	t.Helper()
	rig.NeedRoot(t)
	d := prepare(t, hostileTaskModule, rig.Files{"deputy.toml": installed}, "--installed")
	if err := os.Mkdir(d.Work+"/there", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.Work+"/there/file", []byte("input"), 0o644); err != nil {
		t.Fatal(err)
	}
	d.Start()
	return d
}

// What is being born is stopped by its own user. The births fail, in time and with
// the reason, or succeed once nobody stops them.
func TestANewbornThatIsStopped(t *testing.T) {
	d := hostile(t)
	stopper := asGames(t, "stopper", "60")
	c := d.Self()
	var victims []deputy.Task
	for range 40 {
		victims = append(victims, c.Started("m/victim", ""))
	}
	othersAreServed(t, d)
	begun := time.Now()
	victim := c.Stop(victims[0].ID, "")
	if took := time.Since(begun); took > 7*time.Second {
		t.Errorf("a victim's stop was answered after %v: %s", took, victim.State)
	}
	_ = stopper.Process.Signal(syscall.SIGTERM)
	states := map[string]int{}
	for _, v := range victims {
		v = c.Ended(v.ID)
		states[string(v.State)]++
		if v.State == deputy.Failed && !strings.Contains(reason(v), "did not become its program in time") {
			t.Errorf("a victim: %s, %s", v.State, reason(v))
		}
	}
	t.Logf("the victims: %v", states)
	if task := c.Ended(c.Started("m/victim", "").ID); task.State != deputy.Succeeded {
		t.Errorf("afterwards: %s, %s", task.State, reason(task))
	}
	d.Verify()
}

// A directory, and a declared input, on a file system that does not answer hold up
// the tasks that need them, and nobody else; a monitor begins beside them.
func TestAFileSystemThatDoesNotAnswer(t *testing.T) {
	d := hostile(t)
	c := d.Self()
	mend := rig.Hang(t, d.Work+"/there")
	var there []deputy.Task
	for range 30 {
		there = append(there, c.Started("m/there", ""), c.Started("m/reads", `{"file":"`+d.Work+`/there/file"}`))
	}
	othersAreServed(t, d)
	begun := time.Now()
	answer := c.Do("POST", "/v1/tasks/"+there[0].ID+"/stop", "")
	if took := time.Since(begun); answer.Status != 202 || took < time.Second || took > 7*time.Second {
		t.Errorf("its stop was answered with %d after %v: %s", answer.Status, took, answer.Body)
	}
	c.Close()
	if err := syscall.Kill(d.Part("--role monitor"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	othersAreServed(t, d)
	for _, task := range there[1:6] {
		if answer := c.Do("POST", "/v1/tasks/"+task.ID+"/stop", `{"grace":"0s"}`); answer.Status != 202 && answer.Status != 200 {
			t.Errorf("a stop after the restart: %d %s", answer.Status, answer.Body)
		}
	}
	mend()
	for _, task := range there {
		if task = c.Ended(task.ID); task.State != deputy.Stopped && task.State != deputy.Failed {
			t.Errorf("it ended %s: %s", task.State, reason(task))
		}
	}
	if task := c.Ended(c.Started("m/reads", `{"file":"`+d.Work+`/there/file"}`).ID); task.State != deputy.Succeeded {
		t.Errorf("afterwards: %s, %s", task.State, reason(task))
	} else if out := c.Stdout(task.ID); out != "input" {
		t.Errorf("it read %q", out)
	}
	d.Verify()
}

// A tracer of the task's own user keeps signals from the first process, and its status
// from its parent. The end is recorded, exact, nothing spins, and the lock is free.
func TestATracerHidesTheStatus(t *testing.T) {
	d := hostile(t)
	c := d.Self()
	task := c.Started("m/one", "")
	running(t, c, task.ID)
	first := 0
	for _, pid := range rig.Living(task.ID) {
		first = pid
	}
	asGames(t, "tracer", fmt.Sprint(first))
	begun := time.Now()
	stopped := c.Stop(task.ID, "")
	if took := time.Since(begun); stopped.State != deputy.Stopped || stopped.Exit == nil || stopped.Exit.Signal != "SIGKILL" || took > 7*time.Second {
		t.Errorf("after %v: %s %+v, %s", took, stopped.State, stopped.Exit, reason(stopped))
	}
	next := c.Started("m/one", "")
	if next.ID == task.ID {
		t.Error("the lock is held by a task that has ended")
	}
	rests(t, d)
	c.Stop(next.ID, "")
	d.Verify()
}

// Each task has a session keyring of its own.
func TestNoKeyringIsShared(t *testing.T) {
	d := hostile(t)
	c := d.Self()
	holder := c.Started("m/holds-key", "")
	ready(t, c, holder.ID)
	task := c.Ended(c.Started("m/looks", "").ID)
	if out := c.Stdout(task.ID); !strings.HasPrefix(out, "false ") {
		t.Errorf("a task of another user finds root's key: %s (%s)", out, reason(task))
	}
	c.Stop(holder.ID, "")
}
