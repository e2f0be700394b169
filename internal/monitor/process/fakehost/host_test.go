package fakehost_test

import (
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"deputy"
	"deputy/internal/monitor/process"
	"deputy/internal/monitor/process/fakehost"
	"deputy/internal/monitor/process/hosttest"
)

func TestAFakeWithCgroups(t *testing.T) {
	s := system(fakehost.NewWorld)
	s.Newborn = true
	hosttest.Run(t, s)
}

func TestAFakeWithSubreapers(t *testing.T) {
	s := system(fakehost.NewSubreaperWorld)
	s.Lingers = true
	hosttest.Run(t, s)
}

func system(world func(fakehost.Cast) *fakehost.World) hosttest.System {
	return hosttest.System{
		Machine: func(*testing.T) hosttest.Machine {
			m := &machine{parts: map[string]hosttest.Part{}}
			m.World = world(m.cast)
			return m
		},
		Bubble: func(t *testing.T, f func(*testing.T)) { synctest.Test(t, f) },
		Exits:  []deputy.Exit{{Signal: "SIGKILL"}, {Signal: "SIGABRT"}, {Signal: "SIG40"}},
		Killed: deputy.Exit{Signal: "SIGKILL"},
		Owned:  true,
		Unborn: unborn,
		Hang: func(_ *testing.T, s *process.Spec) func() {
			s.Argv = []string{"/hangs"}
			return func() {}
		},
	}
}

// machine is a world whose trees play parts.
type machine struct {
	*fakehost.World
	parts map[string]hosttest.Part
}

func (m *machine) Open(events func(process.Event)) (hosttest.Host, error) {
	return fakehost.Open(m.World, process.Options{Instance: "one", Events: events})
}

func (m *machine) Spec(leaf string, p hosttest.Part) process.Spec {
	m.parts[leaf] = p
	return process.Spec{Leaf: leaf, Argv: []string{"/part"}}
}

func (m *machine) Ready(string) bool { return true }

func (m *machine) Lives(leaf string, pid int) bool {
	return slices.ContainsFunc(m.Living(leaf), func(s deputy.Survivor) bool { return s.PID == pid })
}

// unbornBy are the births that cannot be, by their program.
var unbornBy = map[string]error{"/none": process.ErrNotFound, "/plain": process.ErrNotExecutable, "/busy": syscall.EAGAIN}

func (m *machine) cast(s process.Spec) fakehost.Tree {
	if why := unbornBy[s.Argv[0]]; why != nil {
		return fakehost.Tree{Birth: fakehost.Birth{Takes: time.Millisecond, Exec: time.Millisecond, Fails: why}}
	}
	if s.Argv[0] == "/hangs" {
		return fakehost.Tree{Birth: fakehost.Birth{Exec: fakehost.Forever}, First: fakehost.Process{Lives: fakehost.Forever, Holds: time.Second}}
	}
	p := m.parts[s.Leaf]
	tree := fakehost.Tree{First: fakehost.Process{Exit: p.Exit, Deaf: p.Deaf, Holds: time.Millisecond}}
	if p.Stays() {
		tree.First.Lives = fakehost.Forever
	}
	for range p.Others {
		other := fakehost.Process{Lives: p.Lives, Deaf: p.Deaf, Holds: time.Millisecond}
		if p.Lives == 0 {
			other.Lives = fakehost.Forever
		}
		tree.Others = append(tree.Others, other)
	}
	return tree
}

func unborn(*testing.T) map[string]hosttest.Unborn {
	table := map[string]hosttest.Unborn{}
	for program, why := range unbornBy {
		u := hosttest.Unborn{Spec: process.Spec{Argv: []string{program}}, Kind: why, Text: "cannot start " + program + ": " + why.Error()}
		if why == syscall.EAGAIN {
			u.Kind = process.ErrNotStarted
		}
		table[program] = u
	}
	return table
}
