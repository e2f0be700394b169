package fakehost

import (
	"fmt"
	"syscall"

	"deputy"
)

// Status is an exit code, as the keeper would tell it if it did.
type Status = syscall.WaitStatus

func statusOf(exit deputy.Exit) Status {
	if exit.Code == nil {
		return Status{ExitCode: 1}
	}
	return Status{ExitCode: uint32(*exit.Code)}
}

func exitOf(status Status) deputy.Exit { return deputy.Exit{Code: new(int(status.ExitCode))} }

func signalName(sig syscall.Signal) string { return fmt.Sprint("SIG", int(sig)) }
