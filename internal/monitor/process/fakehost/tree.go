package fakehost

import (
	"math"
	"time"

	"deputy"
	"deputy/internal/monitor/process"
)

// Forever is longer than any test.
const Forever = time.Duration(math.MaxInt64)

// Cast says what a start brings forth. It is called with the world locked, so it
// must not call anything of it.
type Cast func(process.Spec) Tree

// Tree is the script of what one start brings forth. The zero value is a program
// that ends at once with code 0.
type Tree struct {
	Birth  Birth
	First  Process
	Others []Process // what the first process starts
}

// Birth is the script of a start. The zero value has become its program at once.
type Birth struct {
	Takes   time.Duration // from the order until the process is there
	Exec    time.Duration // from then until it has become its program; Forever: it hangs
	Fails   error         // not nil: it does not become its program, and this is why; ErrNotFound, ErrNotExecutable or an errno
	Returns time.Duration // from then until Start returns: what happens meanwhile is told before
}

// Process is the script of one process. The zero value ends at once with code 0,
// and obeys a signal and a kill at once. Of a tree that is killed Exited is told
// before Empty if another process holds longer than the first, as where the kernel
// takes its time; otherwise after it.
type Process struct {
	Comm  string        // "": "sh"
	Born  time.Duration // of the others: after the first has become its program
	Lives time.Duration // until it ends by itself; Forever: it does not
	Exit  deputy.Exit   // how it then ends; zero: with code 0

	Deaf  bool          // it ignores the stop signal
	Obeys time.Duration // from the stop signal to its end
	Last  *deputy.Exit  // how it ends when it obeys; nil: by that signal
	Holds time.Duration // from a kill to its end, in state D; Forever: nothing ends it
}

func (p Process) comm() string {
	if p.Comm == "" {
		return "sh"
	}
	return p.Comm
}

// exit is how it ends by itself.
func (p Process) exit() deputy.Exit {
	if p.Exit == (deputy.Exit{}) {
		return deputy.Exit{Code: new(0)}
	}
	return p.Exit
}
