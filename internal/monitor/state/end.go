package state

import (
	"fmt"
	"slices"

	"deputy"
)

// End names the state in which a task ends, and why unless it succeeded. A stop
// that was recorded before the exit was seen decides. failure is why it never became its
// program, "" if it did; exit is how its first process ended.
func (t *Task) End(failure string, exit deputy.Exit) (deputy.State, string) {
	switch {
	case t.StopAs != "":
		return t.StopAs, t.StopWhy
	case failure != "":
		return deputy.Failed, failure
	case exit.Unknown != "":
		return deputy.Unknown, exit.Unknown
	case exit.Signal != "":
		return deputy.Failed, "it was killed by " + exit.Signal
	case exit.Code == nil:
		return deputy.Unknown, "its status was not found"
	case slices.Contains(t.Terms.Success, *exit.Code):
		return deputy.Succeeded, ""
	}
	return deputy.Failed, fmt.Sprintf("it exited with code %d", *exit.Code)
}
