package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"deputy"
	"deputy/client"
)

// Exit statuses of deputy itself. A task's own are told by taskStatus.
const (
	statusFailed      = 1   // it was refused, or it failed
	statusUsage       = 2   // the command line is wrong
	statusTimedOut    = 124 // the task's timeout ended it
	statusRefused     = 125 // run: refused or unreachable, or it expired or was rejected: nothing started
	statusInterrupted = 130 // Ctrl-C
	statusStopped     = 143 // the task was stopped
	statusUnknown     = 255 // what became of it is not known
)

// exitError is an error with an exit status. Without an error inside nothing
// is printed: what there is to say has been said.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// silent ends with a status and no words; nil for 0.
func silent(status int) error {
	if status == 0 {
		return nil
	}
	return &exitError{status: status}
}

// usage is a mistake in the command line.
func usage(format string, args ...any) error {
	return &exitError{statusUsage, fmt.Errorf(format, args...)}
}

// attached gives err the status that `run` promises: a script must be able to
// tell "nothing started" from a code of the task.
func attached(err error) error {
	var lost *client.LostError
	var exit *exitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && (exit.err == nil || exit.status != statusUsage):
		return err // it has been told what it is
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &lost):
		return &exitError{statusUnknown, err}
	}
	if e := (*client.Error)(nil); errors.As(err, &e) && e.Refusal.Code == deputy.OutcomeUnknown {
		return &exitError{statusUnknown, err}
	}
	return &exitError{statusRefused, err}
}

// report says on stderr what went wrong and gives the exit status.
func (a *app) report(err error) int {
	if err == nil {
		return 0
	}
	var exit *exitError
	status := statusFailed
	if errors.As(err, &exit) {
		status = exit.status
		if exit.err == nil {
			return status
		}
	} else if errors.Is(err, context.Canceled) {
		return statusInterrupted
	}
	fmt.Fprintln(a.err, a.style(a.errTerm, red, "deputy:")+" "+a.words(err))
	return status
}

// words says an error in full: refusals by their kind, and where the daemon
// was looked for.
func (a *app) words(err error) string {
	var refused *client.Error
	var unreachable *client.UnreachableError
	var lost *client.LostError
	switch {
	case errors.As(err, &refused):
		return refusal(refused.Refusal)
	case errors.As(err, &unreachable):
		return a.unreachable(unreachable)
	case errors.As(err, &lost):
		return lost.Error() + "\nwhether it was done is not known; look with: deputy ps -a"
	}
	return err.Error()
}

// refusal says a problem: its kind, the daemon's sentence, then each wrong value.
func refusal(e *deputy.Error) string {
	var b strings.Builder
	b.WriteString(kind(e.Code))
	b.WriteString(": ")
	b.WriteString(e.Detail)
	for _, p := range e.Errors {
		if !strings.Contains(e.Detail, p.Detail) { // of a single one it speaks itself
			fmt.Fprintf(&b, "\n  %s: %s", p.Param, p.Detail)
		}
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, "\nask again in %d s", e.RetryAfter)
	}
	if e.Rule != "" {
		fmt.Fprintf(&b, "\ndecided by %s", e.Rule)
	}
	return b.String()
}

// kind says a code in words.
func kind(c deputy.Code) string {
	switch c {
	case deputy.BadParam:
		return "bad parameter"
	case deputy.BadJSON:
		return "bad JSON"
	case deputy.NotStoppable:
		return "cannot be stopped"
	case deputy.IdempotencyMismatch:
		return "idempotency key used for something else"
	case deputy.NotDurable:
		return "not accepted"
	case deputy.OutcomeUnknown:
		return "outcome unknown"
	}
	return strings.ReplaceAll(string(c), "_", " ")
}
