package state

import (
	"fmt"
	"testing"
)

// The whole table of a task's life, one line for each phase. A cell that is not
// named here must be impossible.
var life = map[Phase]map[Happening]string{
	Queued: {
		Intended: "starting ", Stop: "over finish", Barred: "over finish", Vanished: "over finish", TakenUp: "queued ",
	},
	Starting: {
		Born: "running watch", Stillborn: "over finish", Stop: "stopping wait no longer for its birth",
		Intended: "starting ", TakenUp: "starting ", Put: "queued ", Found: "running ", Vanished: "over finish",
	},
	Running: {
		Exited: "lingering linger", Hung: "killing kill", Emptied: "running ", Gone: "over finish",
		Stop: "stopping signal", Deadline: "stopping signal", TakenUp: "starting ", Vanished: "over finish",
	},
	Lingering: {
		Gone: "over finish", Stop: "killing kill", Deadline: "killing kill", LingerOver: "killing kill", TakenUp: "starting ",
	},
	Stopping: {
		Born: "stopping signal", Stillborn: "over finish", Gone: "over finish",
		Exited: "stopping ", Emptied: "stopping ", Hung: "stopping ",
		Stop: "stopping shorten the grace period", Deadline: "stopping ", GraceOver: "killing kill", TakenUp: "starting ",
	},
	Killing: {
		Gone: "over finish", Exited: "killing ", Emptied: "killing ",
		Stop: "killing ", Deadline: "killing ", GraceOver: "killing ", LingerOver: "killing ", TakenUp: "starting ",
	},
	Over: {
		Stop: "over ", Deadline: "over ", GraceOver: "over ", LingerOver: "over ", TakenUp: "starting ",
	},
}

func TestEveryCellOfALife(t *testing.T) {
	cells := 0
	for _, p := range Phases() {
		for _, h := range Happenings() {
			cells++
			want, named := life[p][h]
			if !named {
				want = fmt.Sprintf("%s %s", p, Impossible)
			}
			next, do := transition(p, h)
			if got := fmt.Sprintf("%s %s", next, do); got != want {
				t.Errorf("%s, %s: %q, want %q", p, h, got, want)
			}
		}
	}
	if want := len(Phases()) * len(Happenings()); cells != want || cells != 112 {
		t.Errorf("%d cells walked, the table has %d", cells, want)
	}
}

// From every phase a stop, a death and a grace period's end lead to the end: no
// task can stay alive for ever.
func TestEveryLifeEnds(t *testing.T) {
	for _, p := range Phases() {
		at := p
		for _, h := range []Happening{Stop, Born, GraceOver, LingerOver, Exited, Gone} {
			if next, do := transition(at, h); do != Impossible {
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
	for _, last := range []Happening{LingerOver, Stop, Deadline} {
		at, done := Running, Nothing
		for _, h := range []Happening{Exited, last} {
			at, done = transition(at, h)
		}
		if at != Killing || done != Kill {
			t.Errorf("after %s it is %s (%s)", last, at, done)
		}
	}
}

// Nothing that happens twice or late may move an ended task. The next monitor takes
// it up again if its end was never recorded.
func TestOverIsTheEnd(t *testing.T) {
	for _, h := range Happenings() {
		if h == TakenUp {
			continue
		}
		if next, do := transition(Over, h); next != Over || do != Nothing && do != Impossible {
			t.Errorf("%s moves an ended task to %s (%s)", h, next, do)
		}
	}
}
