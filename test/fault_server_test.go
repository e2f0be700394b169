//go:build linux

package test

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/client"
	"deputy/test/rig"
)

const loadModule = `
USER
[allow]
users = ["uid:UID"]
[action.quick]
command = ["/bin/true"]
[action.once]
command = ["/bin/sh", "-c", 'echo "$DEPUTY_TASK" >>"$0"', "WORK/starts"]
[action.witness]
command = ["CAST", "witness", "WORK/gate"]
`

// load is clients that ask for tasks and look at them until they have ended.
type load struct {
	t       *testing.T
	d       *rig.Deputy
	action  string
	acked   atomic.Int64
	refused atomic.Int64 // connect() failed
	retried atomic.Int64 // connections that ended without an answer

	mu   sync.Mutex
	keys map[string]string // by Idempotency-Key: the task that was acknowledged

	stop chan struct{}
	all  sync.WaitGroup
}

func newLoad(t *testing.T, d *rig.Deputy, action string, clients int) *load {
	l := &load{t: t, d: d, action: action, keys: map[string]string{}, stop: make(chan struct{})}
	for i := range clients {
		l.all.Go(func() { l.client(i) })
	}
	return l
}

func (l *load) end() {
	close(l.stop)
	l.all.Wait()
}

func (l *load) client(i int) {
	c := l.d.Self()
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		default:
		}
		key := fmt.Sprintf("client-%d-%d", i, n)
		a, ok := l.ask(c, "POST", "/v1/actions/m/"+l.action, "Idempotency-Key", key)
		if !ok || a.Status != 200 && a.Status != 202 {
			l.t.Errorf("%s: status %d: %s", key, a.Status, a.Body)
			return
		}
		id := a.Tasks(l.t)[0].ID
		l.acked.Add(1)
		l.mu.Lock()
		l.keys[key] = id
		l.mu.Unlock()
		if a, _ := l.ask(c, "GET", "/v1/tasks/"+id+"?wait=1"); a.Status != 200 {
			l.t.Errorf("task %s was acknowledged, then: status %d: %s", id, a.Status, a.Body)
			return
		}
	}
}

// ask asks until there is an answer: a connection may end with its server, but
// none may be refused.
func (l *load) ask(c *rig.Caller, method, path string, header ...string) (rig.Answer, bool) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		a, err := c.Try(method, path, "", header...)
		var dial *net.OpError
		switch {
		case errors.As(err, &dial) && dial.Op == "dial":
			l.refused.Add(1)
			l.t.Errorf("connect was refused: %v", err)
			return a, false
		case err != nil, a.Status == 500 && strings.Contains(string(a.Body), string(deputy.OutcomeUnknown)):
			l.retried.Add(1)
			continue
		}
		return a, true
	}
	l.t.Errorf("%s %s: no answer within a minute", method, path)
	return rig.Answer{}, false
}

// whole checks that every acknowledged task is in the journal and the history,
// once for each key, and has ended; and that the history is the journal.
func (l *load) whole() map[string]deputy.Task {
	l.t.Helper()
	accepted := map[string]bool{}
	byKey := map[string]string{}
	for _, e := range l.d.Events(deputy.Accepted) {
		for _, task := range e.Tasks {
			accepted[task.ID] = true
			if e.Key != nil {
				if other, twice := byKey[e.Key.Key]; twice && other != task.ID {
					l.t.Errorf("key %s made two tasks, %s and %s", e.Key.Key, other, task.ID)
				}
				byKey[e.Key.Key] = task.ID
			}
		}
	}
	tasks := map[string]deputy.Task{}
	q := client.Query{Limit: 500}
	err := l.d.Client().Each(l.t.Context(), q, func(task *deputy.Task) bool {
		if _, twice := tasks[task.ID]; twice || !accepted[task.ID] {
			l.t.Errorf("the history lists %s twice, or without a record", task.ID)
		}
		tasks[task.ID] = *task
		return true
	})
	if err != nil {
		l.t.Fatal(err)
	}
	for key, id := range l.keys {
		switch task, found := tasks[id]; {
		case byKey[key] != id:
			l.t.Errorf("key %s was answered with %s, the journal says %q", key, id, byKey[key])
		case !found:
			l.t.Errorf("task %s was acknowledged and is not in the history", id)
		case task.Ended == nil:
			tasks[id] = l.d.Self().Ended(id)
		}
	}
	if len(tasks) != len(accepted) {
		l.t.Errorf("the history has %d tasks, the journal %d", len(tasks), len(accepted))
	}
	return tasks
}

// kill -9 of the server under load, 20 times: no task notices, no connection is
// refused, the API is back within a second, and nothing that was acknowledged
// is lost.
func TestTheServerIsKilledUnderLoad(t *testing.T) {
	const rounds, clients, witnesses = 20, 32, 8
	d := prepare(t, strings.Replace(loadModule, "USER", "", 1), nil)
	g := newGate(t, filepath.Join(d.Work, "gate"))
	d.Start()
	c := d.Self()
	before := map[string]int{}
	for range witnesses {
		task := c.Started("m/witness", "")
		ready(t, c, task.ID)
		before[task.ID] = rig.Living(task.ID)[0]
	}
	monitor := d.Part("--role monitor")
	l := newLoad(t, d, "quick", clients)
	var back []time.Duration
	for range rounds {
		// The load is under way again, and the server is no newborn.
		from, born := l.acked.Load(), time.Now()
		rig.Eventually(t, 60*time.Second, "the load goes on", func() bool {
			return l.acked.Load() >= from+clients && time.Since(born) > time.Second
		})
		server := d.Part("deputy-server")
		if err := syscall.Kill(server, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		l.ask(d.Self(), "GET", "/healthz") // on a new connection
		back = append(back, time.Since(killed))
		if now := d.Part("deputy-server"); now == server {
			t.Errorf("the server %d lives on", now)
		}
	}
	l.end()
	slices.Sort(back)
	if p99 := back[len(back)-1]; p99 > time.Second {
		t.Errorf("the API was back within %v, not within 1 s; all: %v", p99, back)
	}
	if now := d.Part("--role monitor"); now != monitor {
		t.Errorf("the monitor is another: %d, then %d", monitor, now)
	}
	for id, pid := range before {
		if now := rig.Living(id); !slices.Equal(now, []int{pid}) {
			t.Errorf("task %s was process %d, now %v", id, pid, now)
		}
	}
	g.open()
	for id := range before {
		if task := c.Ended(id); task.State != deputy.Succeeded || c.Stdout(id) != "ready\n" || task.Attempt != 1 {
			t.Errorf("a witness noticed: %s, %s, %q", task.State, reason(task), c.Stdout(id))
		}
	}
	for id, task := range l.whole() {
		if task.State != deputy.Succeeded {
			t.Errorf("task %s: %s, %s", id, task.State, reason(task))
		}
	}
	d.Verify()
	t.Logf("%d kills, API back: median %v, p99 %v; %d requests acknowledged, %d asked again, %d connections refused",
		rounds, back[len(back)/2], back[len(back)-1], l.acked.Load(), l.retried.Load(), l.refused.Load())
}
