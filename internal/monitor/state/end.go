package state

import (
	"fmt"
	"slices"

	"deputy"
)

// How a task ended is told from its records and its exit alone, so every monitor that
// replays them comes to the same end.

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

// Words says in one line how a task has ended, for the log.
func Words(ended *deputy.Event) string {
	return string(ended.State) + because(ended.Reason) + rewrote(ended) + outlived(ended.Left)
}

// rewrote says which of its outputs the task itself did away with.
func rewrote(e *deputy.Event) string {
	text, names := "", [...]string{"stdout", "stderr"}
	for i, out := range [...]*deputy.Output{e.Out, e.Err} {
		if name := names[i]; out.Rewritten {
			text += fmt.Sprintf("; it cut or rewrote its own %s, as > /dev/%s does (>> does not)", name, name)
		}
	}
	return text
}

// outlived says that something was killed which may have been meant to stay.
func outlived(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "; 1 process outlived its first one and was killed"
	}
	return fmt.Sprintf("; %d processes outlived its first one and were killed", n)
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
