package monitor

import (
	"fmt"
	"testing"
)

// The whole table of a task's life, one line for each phase. A cell that is not
// named here must be impossible.
var life = map[Phase]map[happening]string{
	Queued: {
		begin: "starting start", stop: "over finish", expired: "over finish",
	},
	Starting: {
		born: "running watch", stillborn: "over finish", stop: "stopping wait no longer for its birth",
	},
	Running: {
		exited: "lingering linger", hung: "killing kill", emptied: "running ", gone: "over finish",
		stop: "stopping signal", deadline: "stopping signal",
	},
	Lingering: {
		gone: "over finish", stop: "killing kill", deadline: "killing kill", lingerOver: "killing kill",
	},
	Stopping: {
		born: "stopping signal", stillborn: "over finish", gone: "over finish",
		exited: "stopping ", emptied: "stopping ", hung: "stopping ",
		stop: "stopping shorten the grace period", deadline: "stopping ", graceOver: "killing kill",
	},
	Killing: {
		gone: "over finish", exited: "killing ", emptied: "killing ",
		stop: "killing ", deadline: "killing ", graceOver: "killing ", lingerOver: "killing ",
	},
	Over: {
		stop: "over ", deadline: "over ", graceOver: "over ", lingerOver: "over ",
	},
}

func TestEveryCellOfALife(t *testing.T) {
	cells := 0
	for _, p := range phases() {
		for _, h := range happenings() {
			cells++
			want, named := life[p][h]
			if !named {
				want = fmt.Sprintf("%s %s", p, impossible)
			}
			next, do := transition(p, h)
			if got := fmt.Sprintf("%s %s", next, do); got != want {
				t.Errorf("%s, %s: %q, want %q", p, h, got, want)
			}
		}
	}
	if want := len(phases()) * len(happenings()); cells != want || cells != 84 {
		t.Errorf("%d cells walked, the table has %d", cells, want)
	}
}

// From every phase a stop, a death and a grace period's end lead to the end: no
// task can stay alive for ever.
func TestEveryLifeEnds(t *testing.T) {
	for _, p := range phases() {
		at := p
		for _, h := range []happening{stop, born, graceOver, lingerOver, exited, gone} {
			if next, do := transition(at, h); do != impossible {
				at = next
			}
		}
		if at != Over {
			t.Errorf("from %s a task stays %s", p, at)
		}
	}
}

// What outlives a first process has its moment, and no more.
func TestWhatLingersIsKilledInTheEnd(t *testing.T) {
	for _, last := range []happening{lingerOver, stop, deadline} {
		at, done := Running, nothing
		for _, h := range []happening{exited, last} {
			at, done = transition(at, h)
		}
		if at != Killing || done != kill {
			t.Errorf("after %s it is %s (%s)", last, at, done)
		}
	}
}

// Nothing that happens twice or late may move an ended task.
func TestOverIsTheEnd(t *testing.T) {
	for _, h := range happenings() {
		if next, do := transition(Over, h); next != Over || do != nothing && do != impossible {
			t.Errorf("%s moves an ended task to %s (%s)", h, next, do)
		}
	}
}
