package hosttest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"deputy/internal/monitor/process"
)

func exitsAreExact(g *stage) {
	for i, exit := range append([]Part{{Exit: code(0)}, {Exit: code(7)}, {Exit: code(255)}}, g.system.exits()...) {
		leaf := fmt.Sprintf("exit-%d.1", i)
		g.start(leaf, exit)
		g.over(leaf, exit.Exit)
	}
}

func (s System) exits() (parts []Part) {
	for _, exit := range s.Exits {
		parts = append(parts, Part{Exit: exit})
	}
	return parts
}

func eachEndIsToldOnce(g *stage) {
	var all sync.WaitGroup
	var specs []process.Spec
	for i := range 8 {
		specs = append(specs, g.machine.Spec(fmt.Sprintf("many-%d.1", i), Part{Exit: code(i)}))
	}
	for _, spec := range specs {
		all.Go(func() {
			if _, err := g.Start(context.Background(), spec); err != nil {
				g.t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range 8 {
		g.over(fmt.Sprintf("many-%d.1", i), code(i))
	}
	g.left()
}

// Where nothing else lives nobody is to take the tree for one that has left something over.
func emptyComesFirst(g *stage) {
	g.start("alone.1", Part{Exit: code(0)})
	g.over("alone.1", code(0))
	if events := g.of("alone.1"); events[0].Kind != process.Empty {
		g.t.Errorf("first came %+v", events[0])
	}
}

func emptyIsLast(g *stage) {
	g.play("all.1", Part{Exit: stays, Others: 2})
	if events := g.of("all.1"); len(events) > 0 {
		g.t.Errorf("while all lived came %+v", events)
	}
	all := g.Survivors("all.1")
	if _, err := g.Kill("all.1"); err != nil {
		g.t.Error(err)
	}
	g.wait("all.1", process.Empty)
	for _, s := range all {
		if g.machine.Lives("all.1", s.PID) {
			g.t.Errorf("it is empty, and process %d lives", s.PID)
		}
	}
	g.over("all.1", g.system.Killed)
}

// leftoverIsTold: where what is left over is the caller's to end, it is told of the first
// process at once, and of the tree when that is empty.
func leftoverIsTold(g *stage) {
	g.play("left.1", Part{Exit: code(7), Others: 3})
	if e := g.wait("left.1", process.Exited); !same(e.Exit, code(7)) || e.Leftover != 0 {
		g.t.Errorf("its first process ended with %+v", e)
	}
	if n := len(g.Survivors("left.1")); n != 3 {
		g.t.Errorf("%d survive the first process, want 3", n)
	}
	if events := g.of("left.1"); len(events) != 1 {
		g.t.Errorf("while three lived came %+v", events)
	}
	if g.Hurry("left.1") {
		g.t.Error("the host ends what is the caller's to end")
	}
	if killed, err := g.Kill("left.1"); err != nil || killed != 3 {
		g.t.Errorf("Kill: %d, %v; want 3", killed, err)
	}
	g.over("left.1", code(7))
	if events := g.of("left.1"); events[0].Kind != process.Exited {
		g.t.Errorf("first came %+v", events[0])
	}
}

func lingerIsLeftAlone(g *stage) {
	spec := g.machine.Spec("ends.1", Part{Exit: code(7), Others: 2, Lives: 100 * time.Millisecond})
	spec.Linger = time.Minute
	g.begin(spec)
	g.over("ends.1", code(7))
	if e := g.wait("ends.1", process.Exited); e.Leftover != 0 {
		g.t.Errorf("%d of it were killed, want none", e.Leftover)
	}
}

func lingerIsEnded(g *stage) {
	spec := g.machine.Spec("left.1", Part{Exit: code(7), Others: 3})
	spec.Linger = 100 * time.Millisecond
	began := time.Now()
	g.begin(spec)
	g.over("left.1", code(7))
	if took := time.Since(began); took < spec.Linger {
		g.t.Errorf("it was over after %v, before the %v in which it may linger", took, spec.Linger)
	}
	if e := g.wait("left.1", process.Exited); e.Leftover != 3 {
		g.t.Errorf("%d were left over, want 3", e.Leftover)
	}
}

func hurryEndsLinger(g *stage) {
	g.play("stays.1", Part{Exit: stays})
	if g.Hurry("stays.1") {
		g.t.Error("something lingers below a first process that lives")
	}
	spec := g.machine.Spec("left.1", Part{Exit: code(7), Others: 3})
	spec.Linger = time.Hour
	g.begin(spec)
	g.until("something lingers", func() bool { return g.Hurry("left.1") })
	g.over("left.1", code(7))
	if e := g.wait("left.1", process.Exited); e.Leftover != 3 {
		g.t.Errorf("%d were left over, want 3", e.Leftover)
	}
}

func signalReachesAll(g *stage) {
	g.play("stays.1", Part{Exit: stays, Others: 3})
	if err := g.Signal("stays.1", syscall.SIGTERM); err != nil {
		g.t.Error(err)
	}
	term := g.wait("stays.1", process.Exited).Exit
	if term.Signal != "SIGTERM" {
		g.t.Errorf("it ended with %s, want SIGTERM", text(term))
	}
	g.over("stays.1", term)
}

func deafIsKilled(g *stage) {
	g.play("deaf.1", Part{Exit: stays, Others: 3, Deaf: true})
	if err := g.Signal("deaf.1", syscall.SIGTERM); err != nil {
		g.t.Error(err)
	}
	if n := len(g.Survivors("deaf.1")); n != 4 {
		g.t.Errorf("%d survive the stop signal, want 4", n)
	}
	if killed, err := g.Kill("deaf.1"); err != nil || killed != 4 {
		g.t.Errorf("Kill: %d, %v; want 4", killed, err)
	}
	g.over("deaf.1", g.system.Killed)
}

func killEndsAll(g *stage) {
	g.play("tree.1", Part{Exit: stays, Others: 5})
	g.play("beside.1", Part{Exit: stays, Others: 1})
	if killed, err := g.Kill("tree.1"); err != nil || killed != 6 {
		g.t.Errorf("Kill: %d, %v; want 6", killed, err)
	}
	g.wait("tree.1", process.Empty)
	if e := g.wait("tree.1", process.Exited); !same(e.Exit, g.system.Killed) || e.Leftover != 0 {
		g.t.Errorf("it ended with %+v, want %s and nothing left over", e, text(g.system.Killed))
	}
	if killed, err := g.Kill("tree.1"); err != nil || killed != 0 {
		g.t.Errorf("Kill of what is dead: %d, %v", killed, err)
	}
	if err := g.Signal("tree.1", syscall.SIGTERM); !errors.Is(err, process.ErrGone) {
		g.t.Errorf("Signal to what is dead: %v, want ErrGone", err)
	}
	g.over("tree.1", g.system.Killed)
	if n := len(g.Survivors("beside.1")); n != 2 || len(g.of("beside.1")) > 0 {
		g.t.Errorf("of the tree beside it %d live, want 2; its events: %+v", n, g.of("beside.1"))
	}
}

func survivorsLive(g *stage) {
	if list := g.Survivors("none.1"); len(list) > 0 {
		g.t.Errorf("of what never was there live %+v", list)
	}
	a := g.play("lives.1", Part{Exit: stays, Others: 2})
	list := g.Survivors("lives.1")
	var pids []int
	for _, s := range list {
		pids = append(pids, s.PID)
		if s.PID <= 0 || s.Comm == "" || s.State == "" {
			g.t.Errorf("one is %+v", s)
		}
	}
	slices.Sort(pids)
	if len(slices.Compact(pids)) != 3 {
		g.t.Errorf("there live %+v, want 3", list)
	}
	// Of a subreaper the attempt is that process, not the first one.
	if first := slices.Contains(pids, a.PID); first == g.system.Lingers {
		g.t.Errorf("process %d is among %v: %v", a.PID, pids, first)
	}
}

func closeEndsAll(g *stage) {
	g.play("tree.1", Part{Exit: stays, Others: 3})
	g.play("left.1", Part{Exit: stays})
	g.start("ended.1", Part{Exit: code(0)})
	g.wait("ended.1", process.Empty)
	g.close(false)
	for _, leaf := range []string{"tree.1", "left.1", "ended.1"} {
		if events := g.of(leaf); len(events) != 2 || events[0].Kind == events[1].Kind {
			g.t.Errorf("%s: %+v, want both events", leaf, events)
		}
	}
	g.open()
	g.left()
}
