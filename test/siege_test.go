//go:build linux

package test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"deputy/test/rig"
)

// The siege: hostile processes of tasks' own users (stopping, tracing, forking,
// filling, hanging, handing their output to an accomplice) and a hostile caller without
// a rule, with 250 connections, are at work at the same time. So long, unless
// DEPUTY_SIEGE says how long; then the target is held to the letter.
const siegeTime = 10 * time.Second

const siegeModule = `
[allow]
users = ["uid:0", "uid:2", "uid:7", "uid:8"]
[action.quick]
user = "root"
command = ["/bin/true"]
[action.list]
user = "root"
for_each = "n in ns"
params.ns = { type = "array", items = { type = "integer" }, maxItems = 20000 }
command = ["/bin/echo", "{n}"]
[action.victim]
user = "games"
command = ["/bin/echo", "ok"]
grace = "1s"
[action.there]
user = "games"
directory = "WORK/there"
command = ["/bin/pwd"]
grace = "1s"
[action.storm]
user = "news"
command = ["CAST", "storm", "4"]
grace = "1s"
[action.fill]
user = "news"
command = ["CAST", "preallocate", "1073741824"]
output = { cap = "64KiB" }
grace = "1s"
[action.traced]
user = "news"
command = ["/bin/sh", "-c", "echo ready; exec sleep 1000"]
grace = "1s"
[action.pass]
user = "news"
command = ["CAST", "pass", "WORK/meet/socket"]
grace = "1s"
`

// siege is one in progress.
type siege struct {
	t      *testing.T
	d      *rig.Deputy
	over   atomic.Bool
	all    sync.WaitGroup
	memory atomic.Int64 // the most that the monitor had

	mu    sync.Mutex // guards what follows
	stops []time.Duration
	ids   []string // tasks that were started by the hostile
}

func TestSiege(t *testing.T) {
	rig.NeedRoot(t)
	span, err := time.ParseDuration(cmp.Or(os.Getenv("DEPUTY_SIEGE"), siegeTime.String()))
	if err != nil {
		t.Fatal(err)
	}
	d := prepare(t, siegeModule, rig.Files{"deputy.toml": "[server]\nuser = \"daemon\"\n[listen]\nline = []\n"}, "--installed")
	for _, dir := range []string{"there", "meet"} {
		if err := errors.Join(os.Mkdir(d.Work+"/"+dir, 0o777), os.Chmod(d.Work+"/"+dir, 0o777)); err != nil {
			t.Fatal(err)
		}
	}
	d.Start()
	s := &siege{t: t, d: d}

	// The same load of the machine, by processes that do not talk to deputy.
	burn := flood(t, d, 3, "burn", 3) // as those who ask, on two processors, and who stops
	var over atomic.Bool
	var storms sync.WaitGroup
	storms.Go(func() { likeStorms(t, d, &over) })
	quiet := measure(t, d, span)
	over.Store(true)
	storms.Wait()
	burn()
	s.begin()
	besieged := measure(t, d, span)
	s.end()
	s.report(quiet, besieged, os.Getenv("DEPUTY_SIEGE") != "")
}

// likeStorms burns as much as the storms of stopTasks, as often, in sessions of their
// own as these are.
func likeStorms(t *testing.T, d *rig.Deputy, over *atomic.Bool) {
	for i := 0; !over.Load(); i++ {
		if i%4 > 0 {
			time.Sleep(time.Second)
			continue
		}
		var ends []func()
		for range 4 {
			cmd := exec.Command(filepath.Join(rig.Programs(t), "caller"), "burn", d.Socket, "1")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			in, err := cmd.StdinPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Error(err)
				return
			}
			ends = append(ends, func() { in.Close(); _ = cmd.Wait() })
		}
		time.Sleep(time.Second)
		for _, end := range ends {
			end()
		}
	}
}

// begin lays it.
func (s *siege) begin() {
	mend := rig.Hang(s.t, s.d.Work+"/there")
	reads := flood(s.t, s.d, 3, "ask", 250, everyRead()...)
	stopper := asAnother(s.t, 5, "stopper", "3600")
	s.all.Go(s.watchMemory)
	s.all.Go(s.births)
	s.all.Go(s.stopTasks)
	s.t.Cleanup(func() { s.over.Store(true); s.all.Wait() }) // before deputy is ended
	s.all.Go(func() {
		for !s.over.Load() {
			time.Sleep(10 * time.Millisecond)
		}
		s.t.Logf("whoever has no rule was answered %v", reads())
		_ = stopper.Process.Signal(syscall.SIGTERM)
		mend()
	})
}

func (s *siege) end() {
	s.over.Store(true)
	s.all.Wait()
}

// everyRead is each kind of read, with bodies as long as they may be.
func everyRead() []asking {
	long := `{"ns":[` + strings.Repeat("1,", 32_000) + `1]}`
	return []asking{
		{Method: "POST", Path: "/v1/explain/m/list", Body: long},
		{Method: "GET", Path: "/v1/actions"},
		{Method: "GET", Path: "/v1/tasks?limit=1000"},
		{Method: "POST", Path: "/v1/explain/m/list", Body: long},
		{Method: "GET", Path: "/v1/events", Header: "Last-Event-ID: 0"},
		{Method: "GET", Path: "/v1/actions/m/quick"},
		{Method: "POST", Path: "/v1/actions/m/list", Body: long},
		{Method: "HEAD", Path: "/v1/tasks?state=running"},
		{Method: "GET", Path: "/healthz"},
		{Method: "GET", Path: "/v1/tasks/0198d1e9-7b1c-7000-8000-000000000000?wait=1"},
	}
}

// births are asked for by a caller whose tasks are hostile, or hang.
func (s *siege) births() {
	c := s.d.As(8)
	defer c.Close()
	for i := 0; !s.over.Load(); i++ {
		for _, action := range []string{"m/victim", "m/there", "m/list"} {
			body := ""
			if action == "m/list" {
				body = fmt.Sprintf(`{"ns":[%d,%d,%d]}`, 3*i, 3*i+1, 3*i+2)
			}
			a, err := c.Try("POST", "/v1/actions/"+action, body)
			if err != nil || a.Status != 202 && a.Status != 429 {
				s.t.Errorf("%s: %v %d %s", action, err, a.Status, a.Body)
				continue
			}
			if a.Status == 202 {
				s.note(ids(a.Tasks(s.t))...)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *siege) note(ids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids = append(s.ids, ids...)
}

// stopTasks has an operator stop what is hostile, and takes the time.
func (s *siege) stopTasks() {
	c := s.d.Self()
	defer c.Close()
	for i := 0; !s.over.Load(); i++ {
		action := []string{"m/storm", "m/traced", "m/fill", "m/pass", "m/there"}[i%5]
		if action == "m/pass" { // an accomplice keeps its stdout
			_ = os.Remove(s.d.Work + "/meet/socket")
			asAnother(s.t, 9, "accomplice", s.d.Work+"/meet/socket")
		}
		a := c.Call(action, "")
		if a.Status != 202 {
			s.t.Errorf("%s: %d %s", action, a.Status, a.Body)
			continue
		}
		id := a.Tasks(s.t)[0].ID
		s.note(id)
		begun := time.Now()
		switch action {
		case "m/pass": // it ends by itself, whoever holds its stdout
			c.Ended(id)
		case "m/traced":
			ready(s.t, c, id)
			living := rig.Living(id)
			asAnother(s.t, 9, "tracer", fmt.Sprint(living[0]))
			fallthrough
		case "m/storm", "m/fill":
			ready(s.t, c, id)
			fallthrough
		default:
			begun = time.Now()
			a = c.Do("POST", "/v1/tasks/"+id+"/stop", "")
		}
		s.mu.Lock()
		s.stops = append(s.stops, time.Since(begun))
		s.mu.Unlock()
		if a.Status != 200 && a.Status != 202 {
			s.t.Errorf("the stop of %s: %d %s", action, a.Status, a.Body)
		}
	}
}

func (s *siege) watchMemory() {
	pid := s.d.Part("--role monitor")
	for !s.over.Load() {
		s.memory.Store(max(s.memory.Load(), int64(resident(s.t, pid))))
		time.Sleep(100 * time.Millisecond)
	}
}

// report holds the siege against what is promised.
func (s *siege) report(quiet, besieged map[string][]time.Duration, strictly bool) {
	t := s.t
	for _, v := range others {
		before, during := percentile(quiet[v.kind], 99), percentile(besieged[v.kind], 99)
		t.Logf("%-8s %5d calls, p50 %v, p99 %v, slowest %v; under the same load without deputy's enemies %d calls, p50 %v, p99 %v",
			v.kind, len(besieged[v.kind]), percentile(besieged[v.kind], 50), during, slices.Max(besieged[v.kind]),
			len(quiet[v.kind]), percentile(quiet[v.kind], 50), before)
		most := 4*before + time.Second
		if strictly {
			most = before + 100*time.Millisecond
		}
		if during > most {
			t.Errorf("%s: p99 is %v, of at most %v", v.kind, during, most)
		}
	}
	slices.Sort(s.stops)
	t.Logf("%d stops, median %v, slowest %v; the monitor had %d MiB at most", len(s.stops), percentile(s.stops, 50), slices.Max(s.stops), s.memory.Load()>>20)
	if slowest := slices.Max(s.stops); slowest > 7*time.Second { // a grace of 1 s, and 6 s
		t.Errorf("a stop was answered after %v", slowest)
	}
	if s.memory.Load() > 128<<20 {
		t.Errorf("the monitor had %d MiB", s.memory.Load()>>20)
	}
	c := s.d.Self()
	for _, id := range s.ids {
		c.Do("POST", "/v1/tasks/"+id+"/stop", `{"grace":"0s"}`)
	}
	for _, id := range s.ids {
		if task := c.Ended(id); len(rig.Living(id)) > 0 {
			t.Errorf("task %s has ended %s, and processes of it live", id, task.State)
		}
	}
	s.d.Verify()
}

// An honest caller's call.
type honest struct {
	uid                int
	kind               string
	method, path, body string
	status             int
}

var others = []honest{
	{2, "call", "POST", "/v1/actions/m/quick?wait=60", "", 200},
	{0, "accept", "POST", "/v1/actions/m/quick", "", 202},
	{7, "actions", "GET", "/v1/actions", "", 200},
	{7, "explain", "POST", "/v1/explain/m/quick", "", 200},
	{7, "tasks", "GET", "/v1/tasks?limit=10", "", 200},
}

// measure has the honest callers ask for so long, and gives how long each kind took.
func measure(t *testing.T, d *rig.Deputy, span time.Duration) map[string][]time.Duration {
	t.Helper()
	var mu sync.Mutex
	took := map[string][]time.Duration{}
	var all sync.WaitGroup
	for _, v := range others {
		all.Go(func() {
			c := d.As(v.uid)
			defer c.Close()
			for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				begun := time.Now()
				a, err := c.Try(v.method, v.path, v.body)
				if err != nil || a.Status != v.status {
					t.Errorf("%s: %v %d %s", v.kind, err, a.Status, a.Body)
				}
				mu.Lock()
				took[v.kind] = append(took[v.kind], time.Since(begun))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for _, list := range took {
		slices.Sort(list)
	}
	return took
}

// groupOf is a user's own group: who traces must have that of the traced.
func groupOf(t *testing.T, uid uint32) uint32 {
	t.Helper()
	u, err := user.LookupId(fmt.Sprint(uid))
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(gid)
}

// asAnother starts a part of the cast outside of deputy, and returns once it is ready.
func asAnother(t *testing.T, uid uint32, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(filepath.Join(rig.Programs(t), "cast"), args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: groupOf(t, uid)}}
	out, err := cmd.StdoutPipe()
	if err == nil {
		_, err = cmd.StdinPipe() // it stays open
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Errorf("%v: %v", args, err)
	}
	return cmd
}
