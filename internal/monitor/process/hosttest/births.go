package hosttest

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"deputy/internal/monitor/process"
)

func (g *stage) begin(spec process.Spec) {
	g.t.Helper()
	if _, err := g.Start(context.Background(), spec); err != nil {
		g.t.Fatal(err)
	}
}

func unbornLeavesNothing(g *stage) {
	for name, u := range g.system.Unborn(g.t) {
		spec, gone := u.Spec, 0
		if spec.Leaf == "" {
			spec.Leaf = "unborn.1"
		}
		spec.Gone = func() { gone++ }
		a, err := g.Start(context.Background(), spec)
		if !errors.Is(err, u.Kind) || !strings.HasPrefix(err.Error(), u.Text) {
			g.t.Errorf("%s: %v, want %s", name, err, u.Text)
		}
		for _, kind := range []error{process.ErrNotFound, process.ErrNotExecutable, process.ErrNotStarted, process.ErrNotExecuted} {
			if kind != u.Kind && errors.Is(err, kind) {
				g.t.Errorf("%s: it is told as %v, too", name, kind)
			}
		}
		if a != (process.Attempt{}) || gone != 1 {
			g.t.Errorf("%s: it was born as %+v; Gone was called %d times", name, a, gone)
		}
	}
	g.left()
	g.start("unborn.1", Part{Exit: code(0)}) // nothing of those holds the name
	g.over("unborn.1", code(0))
}

func leafIsUsedOnce(g *stage) {
	a := g.play("lives.1", Part{Exit: stays})
	for _, leaf := range []string{"lives.1", "", ".", "../x", "a/b", "a b", "a\nb"} {
		spec := g.machine.Spec("other.1", Part{Exit: code(0)})
		spec.Leaf = leaf
		why := "cannot use " + leaf + " as a leaf: not a plain file name"
		if leaf == "lives.1" {
			why = "the leaf lives.1 is in use"
		}
		want := "cannot start " + spec.Argv[0] + ": " + why
		if _, err := g.Start(context.Background(), spec); !errors.Is(err, process.ErrNotStarted) || err.Error() != want {
			g.t.Errorf("Start: %v, want %s", err, want)
		}
		if err := g.Adopt(process.Attempt{Leaf: leaf, PID: a.PID, BootNS: a.BootNS}); err == nil {
			g.t.Errorf("Adopt of %q was not refused", leaf)
		}
	}
	if n := len(g.Survivors("lives.1")); n != 1 || len(g.of("lives.1")) > 0 {
		g.t.Errorf("of who has the name %d live, want 1; its events: %+v", n, g.of("lives.1"))
	}
}

// cancelledBirth: a birth whose ctx is over before it begins has no process.
func cancelledBirth(g *stage) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	gone := 0
	spec := g.machine.Spec("late.1", Part{Exit: stays})
	spec.Gone = func() { gone++ }
	if _, err := g.Start(ctx, spec); !errors.Is(err, process.ErrNotStarted) || !errors.Is(err, context.Canceled) {
		g.t.Errorf("Start: %v, want ErrNotStarted for it was cancelled", err)
	}
	if gone != 1 {
		g.t.Errorf("Gone was called %d times", gone)
	}
	g.left()
}

// hangingBirth: ctx ends the wait for a birth, not what was born by then.
func hangingBirth(g *stage) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	began := time.Now()
	g.hangs(ctx)
	if took := time.Since(began); took >= process.BornWithin {
		g.t.Errorf("it was waited for %v", took)
	}
}

func lateBirth(g *stage) {
	began := time.Now()
	g.hangs(context.Background())
	if took := time.Since(began); took < process.BornWithin {
		g.t.Errorf("it was given up after %v", took)
	}
}

func (g *stage) hangs(ctx context.Context) {
	g.t.Helper()
	var gone atomic.Int32
	spec := g.machine.Spec("hangs.1", Part{Exit: stays})
	spec.Gone = func() { gone.Add(1) }
	mend := g.system.Hang(g.t, &spec)
	a, err := g.Start(ctx, spec)
	if !errors.Is(err, process.ErrNotExecuted) || a.Leaf != "hangs.1" || a.PID <= 0 {
		g.t.Fatalf("Start: %+v, %v; want an attempt that is not executed", a, err)
	}
	if n := len(g.Survivors("hangs.1")); n != 1 {
		g.t.Errorf("%d live of it, want 1", n)
	}
	if newborn := g.Newborn("hangs.1"); newborn != g.system.Newborn {
		g.t.Errorf("a newborn: %v", newborn)
	}
	g.start("beside.1", Part{Exit: code(0)})
	g.over("beside.1", code(0))
	if killed, err := g.Kill("hangs.1"); err != nil || killed != 1 {
		g.t.Errorf("Kill: %d, %v; want 1", killed, err)
	}
	if n := len(g.Survivors("hangs.1")); n != 1 || len(g.of("hangs.1")) > 0 {
		g.t.Errorf("while nothing ends it %d live of it, want 1; events: %+v", n, g.of("hangs.1"))
	}
	mend()
	g.over("hangs.1", g.system.Killed)
	g.until("nothing of the birth is waited for", func() bool { return gone.Load() == 1 })
}

func releasedIsForgotten(g *stage) {
	g.play("lives.1", Part{Exit: stays})
	g.start("ended.1", Part{Exit: code(0)})
	g.over("ended.1", code(0))
	g.close(true)
	g.open()
	g.left("lives.1")
	if _, found := g.FindFirst("ended.1"); found {
		g.t.Error("what was released was found")
	}
	a, _ := g.FindFirst("lives.1")
	g.adopt(a) // so that it is ours to end
}

func (g *stage) adopt(a process.Attempt) {
	g.t.Helper()
	if err := g.Adopt(a); err != nil {
		g.t.Fatal(err)
	}
}

// secondHostAdopts: what lives, and what has ended and was not released, is found by its
// leaf and told of as if its first host had stayed.
func secondHostAdopts(g *stage) {
	lives := g.play("lives.1", Part{Exit: stays, Others: 2})
	ended := g.start("ended.1", Part{Exit: code(9)})
	g.wait("ended.1", process.Empty)
	g.wait("ended.1", process.Exited)
	g.close(true)
	g.mu.Lock()
	clear(g.events)
	g.mu.Unlock()
	g.open()
	g.left("ended.1", "lives.1")
	for _, a := range []process.Attempt{lives, ended} {
		if found, ok := g.FindFirst(a.Leaf); !ok || found.PID != a.PID {
			g.t.Errorf("of %+v there was found %+v, %v", a, found, ok)
		}
		g.adopt(a)
	}
	if g.system.Forgets {
		if e := g.wait("ended.1", process.Exited); e.Exit.Unknown == "" {
			g.t.Errorf("the end of what was taken is told as %+v", e.Exit)
		}
		g.wait("ended.1", process.Empty)
	} else {
		g.over("ended.1", code(9))
	}
	if n := len(g.Survivors("lives.1")); n != 3 || len(g.of("lives.1")) > 0 {
		g.t.Errorf("%d live, want 3; events: %+v", n, g.of("lives.1"))
	}
	if killed, err := g.Kill("lives.1"); err != nil || killed != 3 {
		g.t.Errorf("Kill: %d, %v; want 3", killed, err)
	}
	g.over("lives.1", g.system.Killed)
	g.left()
}

// bornIsBorn: only a leaf that is there, and in which nothing was born, is one of an unborn.
func bornIsBorn(g *stage) {
	g.play("lives.1", Part{Exit: stays})
	g.start("ended.1", Part{Exit: code(0)})
	g.wait("ended.1", process.Empty)
	for _, leaf := range []string{"lives.1", "ended.1"} {
		if g.NeverBorn(leaf) || g.Newborn(leaf) || g.Ours(leaf) != g.system.Owned {
			g.t.Errorf("%s was never born: %v; is a newborn: %v; is ours: %v", leaf, g.NeverBorn(leaf), g.Newborn(leaf), g.Ours(leaf))
		}
	}
	if g.NeverBorn("none.1") || g.Newborn("none.1") {
		g.t.Error("what was never there is known")
	}
	g.over("ended.1", code(0))
	if n := len(g.Survivors("lives.1")); n != 1 {
		g.t.Errorf("%d live, want 1", n)
	}
}

// goneIsUnknown: nothing is guessed of an attempt of which nothing is left.
func goneIsUnknown(g *stage) {
	g.adopt(process.Attempt{Leaf: "gone.1", BootNS: 1})
	if e := g.wait("gone.1", process.Exited); e.Exit.Unknown == "" {
		g.t.Errorf("it is told as %+v", e.Exit)
	}
	g.wait("gone.1", process.Empty)
	g.Release("gone.1")
}
