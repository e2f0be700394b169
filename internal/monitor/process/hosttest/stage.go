package hosttest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"deputy"
	"deputy/internal/monitor/process"
)

// stage is one machine with the host that is open on it, and the news of all.
type stage struct {
	Host
	t       *testing.T
	system  System
	machine Machine

	mu     sync.Mutex
	events map[string][]process.Event // by leaf
}

func newStage(t *testing.T, s System) *stage {
	g := &stage{t: t, system: s, machine: s.Machine(t), events: map[string][]process.Event{}}
	g.open()
	t.Cleanup(func() {
		if g.Host != nil {
			g.close(false)
		}
	})
	return g
}

func (g *stage) open() {
	g.t.Helper()
	h, err := g.machine.Open(g.hear)
	if err != nil {
		g.t.Fatal(err)
	}
	g.Host = h
}

func (g *stage) close(leaveTasks bool) {
	g.t.Helper()
	h := g.Host
	g.Host = nil
	if err := h.Close(leaveTasks); err != nil {
		g.t.Errorf("Close: %v", err)
	}
}

func (g *stage) hear(e process.Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events[e.Leaf] = append(g.events[e.Leaf], e)
}

// of gives what was told of a leaf so far.
func (g *stage) of(leaf string) []process.Event {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.events[leaf])
}

// wait waits for an event of a leaf.
func (g *stage) wait(leaf string, kind process.Kind) (found process.Event) {
	g.t.Helper()
	g.until(fmt.Sprintf("event %d of %s", kind, leaf), func() bool {
		for _, e := range g.of(leaf) {
			if e.Kind == kind {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

// over waits for both events of a leaf, checks that there are no others, and how its
// first process ended, and releases it.
func (g *stage) over(leaf string, want deputy.Exit) {
	g.t.Helper()
	g.wait(leaf, process.Empty)
	e := g.wait(leaf, process.Exited)
	if !same(e.Exit, want) {
		g.t.Errorf("%s: it ended with %s, want %s", leaf, text(e.Exit), text(want))
	}
	if n := len(g.of(leaf)); n != 2 {
		g.t.Errorf("%s: %d events, want 2: %+v", leaf, n, g.of(leaf))
	}
	if left := g.Survivors(leaf); len(left) > 0 {
		g.t.Errorf("%s: after its end there live %+v", leaf, left)
	}
	g.Release(leaf)
}

func (g *stage) start(leaf string, p Part) process.Attempt {
	g.t.Helper()
	a, err := g.Start(context.Background(), g.machine.Spec(leaf, p))
	if err != nil {
		g.t.Fatal(err)
	}
	if a.Leaf != leaf || a.PID <= 0 || a.BootNS <= 0 {
		g.t.Errorf("%s was born as %+v", leaf, a)
	}
	return a
}

// play starts a part and waits until it is ready.
func (g *stage) play(leaf string, p Part) process.Attempt {
	g.t.Helper()
	a := g.start(leaf, p)
	g.until(leaf+" is ready", func() bool { return g.machine.Ready(leaf) })
	return a
}

func (g *stage) until(what string, ok func() bool) {
	g.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			g.t.Fatalf("not within a minute: %s", what)
		}
	}
}

// left checks which leaves there are.
func (g *stage) left(want ...string) {
	g.t.Helper()
	var got []string
	g.until(fmt.Sprintf("the leaves are %q", want), func() bool { // what was released is removed beside everyone's way
		leaves, err := g.Leaves()
		if err != nil {
			g.t.Fatal(err)
		}
		got = leaves
		slices.Sort(got)
		return slices.Equal(got, want)
	})
}

func code(n int) deputy.Exit { return deputy.Exit{Code: new(n)} }

func same(a, b deputy.Exit) bool { return text(a) == text(b) }

func text(e deputy.Exit) string {
	if e.Code != nil {
		return fmt.Sprint("code ", uint32(*e.Code))
	}
	return e.Signal + e.Unknown
}
