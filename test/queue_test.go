//go:build linux

package test

import (
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

const queueModule = `
[allow]
users = ["uid:UID"]
[queue.apt]
parallel = 2
max_waiting = 5
[queue.other]
[action.work]
queue = "apt"
command = ["/bin/sh", "-c", 'read line <"$0"; exit 0', "WORK/gate"]
[action.urgent]
queue = "apt"
priority = 10
command = ["/bin/true"]
[action.free]
command = ["/bin/true"]
`

// queueOf is how a queue stands.
func queueOf(t *testing.T, c *rig.Caller, name string) deputy.Queue {
	t.Helper()
	var all struct{ Queues []deputy.Queue }
	c.Do("GET", "/v1/queues", "").Read(t, 200, &all)
	i := slices.IndexFunc(all.Queues, func(q deputy.Queue) bool { return q.Name == name })
	if i < 0 {
		t.Fatalf("there is no queue %s: %+v", name, all)
	}
	return all.Queues[i]
}

// No more tasks of a queue run than it has places, whoever dies; who is next goes by
// priority and order; a pause lasts over deaths; and what is too much is refused.
func TestQueue(t *testing.T) {
	d := prepare(t, queueModule, nil)
	g := newGate(t, filepath.Join(d.Work, "gate"))
	d.Start()
	c := d.Self()
	stands := func(running, waiting int) {
		t.Helper()
		if q := queueOf(t, c, "apt"); q.Running != running || q.Waiting != waiting {
			t.Errorf("%d run and %d wait, want %d and %d", q.Running, q.Waiting, running, waiting)
		}
	}
	var works []string
	for range 4 {
		works = append(works, c.Started("m/work", "").ID)
	}
	running(t, c, works[0])
	running(t, c, works[1])
	stands(2, 2)
	urgent := c.Started("m/urgent", "").ID
	c.Ended(c.Started("m/free", "").ID) // needs no place
	if task := c.Task(works[2]); task.State != deputy.Queued {
		t.Errorf("the third is %s", task.State)
	}

	for _, part := range []string{"deputy-server", "--role monitor"} {
		before := d.Part(part)
		if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		rig.Eventually(t, 30*time.Second, "the next "+part, func() bool { now := d.Part(part); return now != 0 && now != before })
		answering(t, d)
		c = d.Self()
		stands(2, 3)
	}

	var q deputy.Queue
	c.Do("POST", "/v1/queues/apt", `{"paused":true}`).Read(t, 200, &q)
	if !q.Paused || q.Running != 2 || q.Waiting != 3 || !slices.Equal(q.Actions, []string{"m/urgent", "m/work"}) {
		t.Errorf("%+v", q)
	}
	c.Do("POST", "/v1/queues/apt", `{"pause":true}`).Refused(t, 400, deputy.BadRequest)
	c.Do("POST", "/v1/queues/none", `{"paused":true}`).Refused(t, 400, deputy.BadRequest)
	g.open()
	c.Ended(works[0])
	c.Ended(works[1])
	stands(0, 3)
	late := c.Started("m/work", "").ID
	if task := c.Task(late); task.State != deputy.Queued {
		t.Errorf("in a paused queue it is %s", task.State)
	}
	c.Started("m/work", "")
	c.Call("m/work", "").Refused(t, 429, deputy.RateLimited)

	if err := syscall.Kill(d.Part("--role monitor"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	answering(t, d)
	c = d.Self()
	if q := queueOf(t, c, "apt"); !q.Paused || q.Running != 0 || q.Waiting != 5 {
		t.Errorf("the monitor was killed: %+v", q)
	}
	c.Do("POST", "/v1/queues/apt", `{"paused":false}`).Read(t, 200, &q)
	if n := len(d.Events(deputy.QueuePaused)) + len(d.Events(deputy.QueueResumed)); n != 2 || q.Paused {
		t.Errorf("%d records, %+v", n, q)
	}
	c.Ended(urgent)
	running(t, c, works[2])
	running(t, c, works[3])
	var order []string
	for _, e := range d.Events(deputy.StartIntended) {
		order = append(order, e.Task)
	}
	if i, j := slices.Index(order, urgent), slices.Index(order, works[2]); i > j {
		t.Errorf("started as %q: %s is urgent, and came after %s", order, urgent, works[2])
	}
	stands(2, 2)
}
