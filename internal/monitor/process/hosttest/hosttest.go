// Package hosttest says what every process.Host promises, once, for the fake and the
// real ones: a table of sentences, each tested on a machine of its own.
//
// What always holds: a sentence knows a host by its methods alone. What it starts is a
// Part, which a System plays in its own way: by a program (Play), or by a script of
// fakehost. Where systems differ in what they promise, a member of System says so, with
// the reason; a sentence is never skipped in silence, it is left out of the table.
package hosttest

import (
	"context"
	"maps"
	"slices"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/internal/monitor/process"
)

// Births begins attempts, or takes them up.
type Births interface {
	Start(context.Context, process.Spec) (process.Attempt, error)
	Adopt(process.Attempt) error
}

// Deaths ends them.
type Deaths interface {
	Signal(leaf string, sig syscall.Signal) error
	Kill(leaf string) (killed int, err error)
	Survivors(leaf string) []deputy.Survivor
}

// Leaves are the names of what was not released.
type Leaves interface {
	Leaves() ([]string, error)
	FindFirst(leaf string) (process.Attempt, bool)
	Release(leaf string)
}

// Marks are what a leaf tells a monitor that finds it.
type Marks interface {
	Ours(leaf string) bool
	NeverBorn(leaf string) bool
	Newborn(leaf string) bool
}

// Host is what is tested.
type Host interface {
	Births
	Deaths
	Leaves
	Marks
	Hurry(leaf string) bool
	Close(leaveTasks bool) error
}

// Machine is where the Hosts of one sentence are, one after the other.
type Machine interface {
	Open(events func(process.Event)) (Host, error)
	Spec(leaf string, p Part) process.Spec // of what plays the part
	Ready(leaf string) bool                // all of the part's processes are there, and as they are to be
	Lives(leaf string, pid int) bool       // as the machine says, not the host
}

// Part is what a tree does.
type Part struct {
	Exit   deputy.Exit   // how the first process ends; its Unknown stands for "not by itself"
	Others int           // processes that descend from the first one
	Deaf   bool          // all ignore the stop signal
	Lives  time.Duration // how long the others live; 0: until they are ended
}

// stays is the Exit of a first process that does not end by itself.
var stays = deputy.Exit{Unknown: "it stays"}

// Stays says that the first process does not end by itself.
func (p Part) Stays() bool { return p.Exit.Unknown != "" }

// System is one kind of host, and what it promises otherwise than others.
type System struct {
	Machine func(*testing.T) Machine
	Bubble  func(*testing.T, func(*testing.T)) // synctest.Test where time is a fake's; nil: it is real

	// Exits are told exactly, beside codes of 0 to 255, which are everywhere: signals, and Windows' codes of 32 bits.
	Exits []deputy.Exit
	// Killed is how a first process ends that Kill has ended. Windows has no signals: there it is a code.
	Killed deputy.Exit
	// NoSignal: the stop signal cannot be shown. Wine delivers no Ctrl-Break to a console.
	NoSignal bool
	// Lingers: the host itself ends what outlives a first process once its Spec.Linger is over, counts it, and tells of
	// the first only then. So does a subreaper, which outlives the monitor; elsewhere that is the caller's to do.
	Lingers bool
	// Forgets: a status that was told is taken, and no other host can be told it. So it is where waiting takes it (macOS, FreeBSD).
	Forgets bool
	// Owned: a leaf is known for this installation's, by a mark or for it lies in a directory of its own. Jobs and sessions bear none.
	Owned bool
	// Births that cannot be, by name.
	Unborn func(*testing.T) map[string]Unborn
	// Hang has the birth of a Spec hang, so that not even a kill ends it, until mend is called. nil: births wait in a call of the
	// system's, which ctx does not end (macOS, FreeBSD, Windows).
	Hang func(*testing.T, *process.Spec) (mend func())
	// Newborn: who hangs in its birth is told from a program. A subreaper has what it started in hand, and is not asked.
	Newborn bool
}

// Unborn is a birth that cannot be.
type Unborn struct {
	Spec process.Spec // its Leaf is the sentence's
	Kind error        // ErrNotFound, ErrNotExecutable or ErrNotStarted
	Text string       // with which its error begins; on Windows the rest is the system's, in its user's language
}

// Run tests all sentences of a system.
func Run(t *testing.T, s System) {
	within := s.Bubble
	if within == nil {
		within = func(t *testing.T, f func(*testing.T)) { f(t) }
	}
	table := s.sentences()
	for _, name := range slices.Sorted(maps.Keys(table)) {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T) { table[name](newStage(t, s)) })
		})
	}
}

func (s System) sentences() map[string]func(*stage) {
	table := map[string]func(*stage){
		"the end of a first process is exact":                          exitsAreExact,
		"each end is told once":                                        eachEndIsToldOnce,
		"a tree that leaves nothing over is empty before it has ended": emptyComesFirst,
		"a tree is empty when none of it lives":                        emptyIsLast,
		"what ends within its time to linger is left alone":            lingerIsLeftAlone,
		"a kill ends all of a tree and counts it":                      killEndsAll,
		"survivors are those that live":                                survivorsLive,
		"a birth that cannot be leaves nothing":                        unbornLeavesNothing,
		"a leaf is used once":                                          leafIsUsedOnce,
		"what is released is forgotten":                                releasedIsForgotten,
		"a second host takes up what the first left":                   secondHostAdopts,
		"what was born is not taken for unborn":                        bornIsBorn,
		"of what is gone the end is unknown":                           goneIsUnknown,
		"a close ends all":                                             closeEndsAll,
	}
	if s.Lingers {
		table["what outlives a first process is ended and counted"] = lingerIsEnded
		table["who hurries ends what lingers"] = hurryEndsLinger
	} else {
		table["what outlives a first process is told of"] = leftoverIsTold
	}
	if !s.NoSignal {
		table["a stop signal reaches the whole tree"] = signalReachesAll
		table["who ignores the stop signal lives until the kill"] = deafIsKilled
	}
	if s.Hang != nil {
		table["a birth that is not wanted any more is none"] = cancelledBirth
		table["a birth that hangs is watched and killed like any other"] = hangingBirth
		if s.Bubble != nil { // it takes process.BornWithin
			table["a birth that takes too long is told of"] = lateBirth
		}
	}
	return table
}
