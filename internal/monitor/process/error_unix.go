//go:build unix

package process

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// startError says why a program could not be started; kind is for errors.Is.
type startError struct {
	program string
	kind    error
	cause   error
}

func (e *startError) Error() string   { return fmt.Sprintf("cannot start %s: %v", e.program, e.cause) }
func (e *startError) Unwrap() []error { return []error{e.kind, e.cause} }

// WaitStatus is how a process ended, as wait(2) tells it.
type WaitStatus = unix.WaitStatus
