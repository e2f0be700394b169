//go:build linux

package faults

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"deputy"
	"deputy/client"
	"deputy/test/rig"
)

// What make test runs. A long run is asked for by make faults.
const (
	shortSeed, shortCycles = 1, 10
	someClients            = 12
	maxBreaches            = 5 // shown of each promise
)

// setting reads a number from the environment, where make faults puts it.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%s: a number is expected", name, text)
	}
	return n
}

// Whatever dies under it, deputy keeps its promises.
func TestNothingIsLost(t *testing.T) {
	seed, cycles := setting(t, "FAULTS_SEED", shortSeed), setting(t, "FAULTS_CYCLES", shortCycles)
	x := begin(t, seed)
	x.i.long = cycles >= 100
	for n := range cycles {
		x.loaded(t, fmt.Sprintf("the load goes on after fault %d", n))
		time.Sleep(time.Duration(x.i.rng.IntN(150)) * time.Millisecond) // some instant
		x.i.step()
	}
	x.judge(t)
}

// prepare is a deputy with the harness's module, installed where root asks.
// FAULTS_MODE names another way: up, or no-cgroup.
func prepare(t *testing.T) *rig.Deputy {
	t.Helper()
	var args []string
	mode := os.Getenv("FAULTS_MODE")
	if os.Geteuid() == 0 && mode != "up" {
		args = append(args, "--installed")
	}
	if mode == "no-cgroup" {
		args = append(args, "--no-cgroup")
	}
	d := rig.New(t, nil, args...)
	d.Write(files(actor(t), d.Work, callers()))
	if err := os.WriteFile(filepath.Join(d.Work, "acts"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	return d
}

// actor builds the program that plays the tasks.
func actor(t *testing.T) string {
	t.Helper()
	root, err := rig.Root()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(rig.Programs(t), "actor")
	build := exec.Command("go", "build", "-o", program, "./test/faults/actor")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the actor: %v\n%s", err, out)
	}
	return program
}

// trial is a deputy under load, and what it lives through.
type trial struct {
	seed  uint64
	began time.Time
	d     *rig.Deputy
	r     *record
	l     *load
	i     *injector

	clients int
}

func begin(t *testing.T, seed uint64) *trial {
	t.Helper()
	t.Cleanup(func() { // also when a fault could not be done
		if t.Failed() {
			t.Logf("the seed was %d; again: make faults SEED=%[1]d CYCLES=…", seed)
		}
	})
	x := &trial{seed: seed, began: time.Now(), d: prepare(t), r: &record{}, clients: int(setting(t, "FAULTS_CLIENTS", someClients))}
	x.d.Start()
	x.l = &load{d: x.d, r: x.r, seed: seed, say: t.Errorf, leaves: filepath.Dir(x.d.Leaf(deputy.Task{}))}
	x.i = &injector{
		t: t, d: x.d, r: x.r, rng: rand.New(rand.NewPCG(seed, 1<<32)), all: hasArgument(x.d, "--installed"), counts: map[string]int{},
	}
	x.l.start(x.clients, callers())
	return x
}

// loaded waits until each client was answered once more, about.
func (x *trial) loaded(t *testing.T, what string) {
	t.Helper()
	from := x.l.accepted.Load()
	rig.Eventually(t, back, what, func() bool { return x.l.accepted.Load() >= from+int64(x.clients) })
}

// judge ends the load and holds deputy to its promises.
func (x *trial) judge(t *testing.T) {
	t.Helper()
	x.l.end()
	settled(x.d)
	x.r.complete(t, x.d)
	report(t, x.r, x.seed)
	x.d.Verify()
	leftovers(t, x.d, x.r)
	t.Logf("seed %d, %v: %d requests accepted, %d without an answer, %d connections refused, %d tasks, %d records, %v",
		x.seed, time.Since(x.began).Round(time.Second), x.l.accepted.Load(), x.l.lost.Load(), len(x.r.refused), len(x.r.tasks), len(x.r.journal), x.i.counts)
	x.r.summary(t)
	unanswered := map[string]int{}
	for _, q := range x.r.requests {
		if q.Err != "" || q.Status >= 500 {
			_, why, _ := strings.Cut(q.Err, "\": ") // without the address
			unanswered[fmt.Sprint(q.Status, " ", q.Code, why)]++
		}
	}
	t.Logf("without an answer: %v", unanswered)
}

// summary tells how often each fault was done, and how long it took until
// deputy answered again, from the fault on.
func (r *record) summary(t *testing.T) {
	t.Helper()
	took := map[string][]time.Duration{}
	for _, f := range r.faults {
		took[f.What] = append(took[f.What], time.Duration(f.To-f.From).Round(time.Millisecond))
	}
	for _, what := range slices.Sorted(maps.Keys(took)) {
		all := took[what]
		slices.Sort(all)
		t.Logf("%4d × %s: answers again after %v (median), %v (p99), %v (longest)", len(all), what, all[len(all)/2], all[len(all)*99/100], all[len(all)-1])
	}
}

// complete reads what the run has left: journal, list, acts.
func (r *record) complete(t *testing.T, d *rig.Deputy) {
	t.Helper()
	for _, line := range d.Journal() {
		var e deputy.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		r.journal = append(r.journal, e)
	}
	if err := d.Client().Each(t.Context(), client.Query{Limit: 500}, func(task *deputy.Task) bool {
		r.tasks = append(r.tasks, *task)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	r.log = strings.Split(d.Log(), "\n")
	f, err := os.Open(filepath.Join(d.Work, "acts"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if r.acts, err = readActs(f); err != nil {
		t.Fatal(err)
	}
}

// report fails the test with every broken promise, the first ones with what the
// record says of them.
func report(t *testing.T, r *record, seed uint64) {
	t.Helper()
	shown := map[string]int{}
	for _, b := range r.check() {
		if shown[b.Promise]++; shown[b.Promise] <= maxBreaches {
			t.Errorf("seed %d, promise %s: task %s %s: %s\n%s", seed, b.Promise, b.Task, b.Key, b.What, r.excerpt(b))
		}
	}
	for promise, n := range shown {
		t.Logf("broken %d times: promise %s", n, promise)
	}
	unknown := map[string]int{}
	for _, task := range r.tasks {
		if task.Exit != nil && task.Exit.Unknown != "" {
			unknown[task.Exit.Unknown]++
		}
	}
	t.Logf("exits that are not known: %v", unknown)
}

// leftovers: in the end nothing of any task lives, wherever it went.
func leftovers(t *testing.T, d *rig.Deputy, r *record) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); len(d.Leaves()) > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	for i, leaf := range d.Leaves() {
		if i < maxBreaches {
			id, _, _ := strings.Cut(filepath.Base(leaf), ".")
			t.Errorf("the cgroup %s is not removed\n%s", leaf, r.excerpt(breach{Task: id}))
		}
	}
	known := map[string]bool{}
	for _, task := range r.tasks {
		known[task.ID] = true
	}
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environments {
		text, _ := os.ReadFile(path) // it may have ended meanwhile
		_, rest, found := strings.Cut(string(text), "DEPUTY_TASK=")
		if id, _, _ := strings.Cut(rest, "\x00"); found && known[id] {
			t.Errorf("process %s of task %s lives on", strings.Split(path, "/")[2], id)
		}
	}
}
