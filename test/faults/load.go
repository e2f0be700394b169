//go:build linux

package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/test/rig"
)

// patience is how long one answer is waited for, over all attempts.
const patience = 3 * time.Minute

// load is clients that ask at random, each over connections of its own.
type load struct {
	d      *rig.Deputy
	r      *record
	seed   uint64
	leaves string                           // directory of the tasks' cgroups
	say    func(format string, args ...any) // reports what must not be

	accepted atomic.Int64 // 2xx
	lost     atomic.Int64 // no answer, or one that says so

	mu   sync.Mutex
	used map[int][]*usedKey // by uid

	stop chan struct{}
	all  sync.WaitGroup
}

// usedKey is an Idempotency-Key that was sent at least once.
type usedKey struct {
	key       string
	ask       ask
	firstSent int64
	accepted  atomic.Bool
}

func (l *load) start(clients int, uids []int) {
	l.used, l.stop = map[int][]*usedKey{}, make(chan struct{})
	for i := range clients {
		uid := uids[i%len(uids)]
		c := &asker{load: l, http: l.d.As(uid), uid: uid, name: fmt.Sprintf("%d-%d", l.seed, i), rng: rand.New(rand.NewPCG(l.seed, uint64(i)))}
		l.all.Go(c.run)
	}
}

// end lets every client finish what it has begun.
func (l *load) end() {
	close(l.stop)
	l.all.Wait()
}

// asker is one client.
type asker struct {
	*load
	http  *rig.Caller
	uid   int
	name  string
	rng   *rand.Rand
	n     int      // keys used
	tasks []string // given to it lately
}

func (c *asker) run() {
	for {
		select {
		case <-c.stop:
			return
		default:
		}
		switch n := c.rng.IntN(100); {
		case n < 55:
			c.fresh()
		case n < 65:
			c.ask(someAsk(c.rng), nil)
		case n < 77:
			c.again()
		case n < 80:
			c.mismatch()
		case n < 89:
			c.stopOne()
		case n < 98:
			c.look()
		default:
			c.nonsense()
		}
	}
}

// fresh asks with a new key, until there is an answer.
func (c *asker) fresh() {
	c.n++
	u := &usedKey{key: fmt.Sprintf("%s-%d", c.name, c.n), ask: someAsk(c.rng), firstSent: now()}
	c.mu.Lock()
	c.used[c.uid] = append(c.used[c.uid], u)
	c.mu.Unlock()
	c.ask(u.ask, u)
}

// known picks a key that some client of this user has sent, newer ones more often.
func (c *asker) known() *usedKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.used[c.uid]
	if len(list) == 0 {
		return nil
	}
	if c.rng.IntN(2) == 0 {
		list = list[max(0, len(list)-10):]
	}
	return list[c.rng.IntN(len(list))]
}

func (c *asker) again() {
	if u := c.known(); u != nil {
		c.ask(u.ask, u)
	}
}

// mismatch asks for something else with a key that was accepted.
func (c *asker) mismatch() {
	u := c.known()
	if u == nil || !u.accepted.Load() {
		return
	}
	q := request{Call: "call f/plain", Body: `{"how":"exit","ms":0,"n":77}`, Key: ""}
	a, ok := c.send(&q, "POST", "/v1/actions/f/plain", "Idempotency-Key", u.key)
	if ok && (a.Status != 422 || q.Code != deputy.IdempotencyMismatch) {
		c.say("key %s was used for something else, and answered %d %s", u.key, a.Status, a.Body)
	}
}

// ask calls an action. With a key it asks until it knows.
func (c *asker) ask(what ask, u *usedKey) {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		q := request{Call: "call f/" + what.action, Body: what.body}
		var header []string
		if u != nil {
			q.Key, q.FirstSent = u.key, u.firstSent
			header = []string{"Idempotency-Key", u.key}
		} else {
			q.FirstSent = now()
		}
		a, ok := c.send(&q, "POST", "/v1/actions/f/"+what.action, header...)
		if !ok {
			if u == nil {
				return
			}
			continue
		}
		switch {
		case a.Status == 200 || a.Status == 202:
			c.accepted.Add(1)
			if what.action != "halt" { // whose tasks may be others', and not for this one to see
				c.tasks = append(c.tasks[max(0, len(c.tasks)-20):], q.Tasks...)
			}
			if u != nil {
				u.accepted.Store(true)
			}
		case a.Status == 409 && q.Code == deputy.Busy && what.action != "plain" && what.action != "timed" && what.action != "halt":
		default:
			c.say("%s %s was answered %d %s", q.Call, q.Body, a.Status, a.Body)
		}
		return
	}
	c.say("%s: no answer within %v", what.action, patience)
}

// stopOne stops a task that this client was given.
func (c *asker) stopOne() {
	id, ok := c.some()
	if !ok {
		return
	}
	body := []string{"", `{"grace":"0s"}`, `{"grace":"50ms"}`}[c.rng.IntN(3)]
	q := request{Call: "stop " + id, Body: body}
	a, ok := c.send(&q, "POST", "/v1/tasks/"+id+"/stop")
	if !ok {
		return
	}
	switch {
	case a.Status == 200 && q.Ended:
		c.accepted.Add(1)
	case a.Status == 403 && q.Code == deputy.NotAllowed: // it had joined another's
	default:
		c.say("stop of %s was answered %d %s", id, a.Status, a.Body)
	}
}

// look reads a task that this client was given: it is always there.
func (c *asker) look() {
	id, ok := c.some()
	if !ok {
		return
	}
	q := request{Call: "look " + id}
	a, ok := c.send(&q, "GET", "/v1/tasks/"+id+"?wait=1")
	if ok && a.Status != 200 {
		c.say("task %s was acknowledged, and answered %d %s", id, a.Status, a.Body)
	}
}

func (c *asker) some() (string, bool) {
	if len(c.tasks) == 0 {
		return "", false
	}
	return c.tasks[c.rng.IntN(len(c.tasks))], true
}

// nonsense must be refused clearly, and leave nothing.
func (c *asker) nonsense() {
	bad := []struct {
		action, body string
		status       int
	}{
		{"f/none", "", 404}, {"none/plain", "", 404}, {"f/join", `{"lock":-1}`, 422}, {"f/join", `{"lock":"x"}`, 422},
		{"f/join", `{"lock":1,"lock":2}`, 400}, {"f/plain", `{"how":"sing","ms":1,"n":1}`, 422}, {"f/each", `{"locks":[]}`, 422},
	}[c.rng.IntN(7)]
	q := request{Call: "nonsense " + bad.action, Body: bad.body}
	a, ok := c.send(&q, "POST", "/v1/actions/"+bad.action)
	if ok && a.Status != bad.status {
		c.say("%s %s was answered %d %s, want %d", bad.action, bad.body, a.Status, a.Body, bad.status)
	}
}

// send sends one request and records it with its answer; false: it is not known
// what became of it.
func (c *asker) send(q *request, method, path string, header ...string) (rig.Answer, bool) {
	q.Caller, q.Sent = deputy.UIDCaller(uint32(c.uid)), now()
	a, err := c.http.Try(method, path, q.Body, header...)
	q.Answered, q.Status = now(), a.Status
	if notConnected(err) { // and nothing was sent
		c.r.refuse(q.Answered)
		time.Sleep(10 * time.Millisecond)
		return a, false
	}
	defer func() { c.r.add(*q) }()
	if err != nil {
		q.Status, q.Err = 0, err.Error()
		c.lost.Add(1)
		return a, false
	}
	c.read(q, a)
	if q.Code == deputy.OutcomeUnknown || q.Code == deputy.NotDurable {
		c.lost.Add(1)
		return a, false
	}
	return a, true
}

// notConnected says that nobody listens. A socket that is just being made may
// not be there, or not be for everybody yet.
func notConnected(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EACCES)
}

// read takes from an answer what the judge needs.
func (c *asker) read(q *request, a rig.Answer) {
	var said struct {
		Code  deputy.Code
		Tasks []deputy.Task
		ID    string
		State deputy.State
		Ended *deputy.Time
	}
	if err := json.Unmarshal(a.Body, &said); err != nil {
		c.say("%s was answered %d with %v: %q", q.Call, a.Status, err, a.Body)
	}
	q.Code, q.State, q.Ended, q.Replayed = said.Code, said.State, said.Ended != nil, a.Header.Get("Idempotency-Replayed") == "true"
	for _, t := range said.Tasks {
		q.Tasks = append(q.Tasks, t.ID)
	}
	if said.Ended != nil && a.Status == 200 {
		q.Lived = livingIn(filepath.Join(c.leaves, said.ID+".1"))
		q.Tasks = []string{said.ID}
	}
}

// livingIn lists what lives in a cgroup.
func livingIn(leaf string) []int {
	text, _ := os.ReadFile(filepath.Join(leaf, "cgroup.procs")) // mostly it is gone
	var pids []int
	for _, field := range bytes.Fields(text) {
		var pid int
		fmt.Sscan(string(field), &pid)
		pids = append(pids, pid)
	}
	return pids
}

// callers are the users who ask: as root several, otherwise oneself.
func callers() []int {
	if os.Geteuid() == 0 {
		return []int{0, 1, 2, 3}
	}
	return []int{os.Geteuid()}
}

// hasArgument says whether deputyd was given an option.
func hasArgument(d *rig.Deputy, option string) bool {
	return slices.ContainsFunc(d.Args, func(a string) bool { return strings.Contains(a, option) })
}
