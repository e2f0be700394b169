//go:build linux

package history

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"deputy"
)

// cpu is what this process has used so far.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkApply is one task accepted, started and ended, and what it costs all
// told, the writer included. A rate of 2,600 tasks/s leaves 385 µs for each.
func BenchmarkApply(b *testing.B) {
	j := newJournal()
	var lines [][]byte
	for range b.N {
		id := j.id()
		j.add(j.accepted(id))
		j.add(started(id))
		j.add(ended(id, deputy.Succeeded))
	}
	lines = j.text
	h := openTest(b, filepath.Join(b.TempDir(), "history.db"))
	b.ResetTimer()
	used := cpu()
	for i, line := range lines {
		if err := h.Apply(uint64(i+1), line); err != nil {
			b.Fatal(err)
		}
	}
	applied := b.Elapsed()
	if err := h.flush(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(applied.Microseconds())/float64(b.N), "µs-apply/task")
	b.ReportMetric(float64((cpu()-used).Microseconds())/float64(b.N), "µs-cpu/task")
}

// BenchmarkDecode is what reading one record costs.
func BenchmarkDecode(b *testing.B) {
	j := newJournal()
	id := j.id()
	for name, e := range map[string]deputy.Event{"accepted": j.accepted(id), "started": started(id), "ended": ended(id, deputy.Failed)} {
		line := j.add(e)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(line)))
			for b.Loop() {
				if _, err := decode(line); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMillion opens a history of a million tasks (or as many as
// HISTORY_TASKS says), and lists pages at random places of it while about 2,000
// more are accepted, started and ended each second.
func BenchmarkMillion(b *testing.B) {
	n := 1_000_000
	if s := os.Getenv("HISTORY_TASKS"); s != "" {
		fmt.Sscan(s, &n)
	}
	dir := b.TempDir()
	path := filepath.Join(dir, "history.db")
	j := newJournal()
	h := openTest(b, path)
	start, used := time.Now(), cpu()
	fill(b, h, j, n)
	h.flush(context.Background())
	b.Logf("%d tasks in %v, cpu %v", n, time.Since(start), cpu()-used)
	h.Close()
	info, _ := os.Stat(path)
	b.Logf("%d bytes/task", info.Size()/int64(n))
	start = time.Now()
	h = openTest(b, path)
	b.Logf("open: %v", time.Since(start))

	const middle = "somewhere"
	last := h.Applied()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				fill(b, h, j, 20)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	since := j.now.Add(-time.Minute)
	never := func(*deputy.Task) bool { return false }
	for _, c := range []struct {
		name    string
		q       Query
		visible func(*deputy.Task) bool
		scope   *Scope
	}{
		{"newest", Query{}, nil, nil},
		{"middle", Query{Before: middle}, nil, nil},
		{"mine", Query{Before: middle}, nil, &Scope{Caller: "uid:34"}},
		{"caller", Query{Before: middle, Caller: "uid:34"}, nil, nil},
		{"failed", Query{Before: middle, State: []deputy.State{deputy.Failed}}, nil, nil},
		{"live", Query{State: []deputy.State{deputy.Running, deputy.Queued}}, nil, nil},
		{"lock", Query{Before: middle, Lock: "nginx.service"}, nil, nil},
		{"module", Query{Before: middle, Module: "service", Action: "restart"}, nil, nil},
		{"no match", Query{Before: middle, Module: "service", Action: "none"}, nil, nil},
		{"no such end user", Query{Before: middle, EndUser: "nobody"}, nil, nil},
		{"all invisible", Query{Before: middle}, never, nil},
		{"mine and failed", Query{Before: middle, State: []deputy.State{deputy.Failed, deputy.Stopped}}, nil, &Scope{Caller: "uid:34"}},
		{"since", Query{Since: since, Before: middle}, nil, nil},
	} {
		c.q.Limit = 50
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				if c.q.Before != "" {
					c.q.Before = cursorOf(ordOf(rand.Uint64N(last), 0) + 1)
				}
				at := time.Now()
				_, _, err := h.Tasks(context.Background(), c.q, c.visible, c.scope)
				if err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(at))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
		})
	}
}
