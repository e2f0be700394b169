//go:build unix

package fakehost

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"deputy"
)

// Status is a wait status, as the keeper tells it.
type Status = unix.WaitStatus

func statusOf(exit deputy.Exit) Status {
	if exit.Code != nil {
		return Status(*exit.Code << 8)
	}
	return Status(unix.SignalNum(exit.Signal))
}

func exitOf(status Status) deputy.Exit {
	if status.Signaled() {
		return deputy.Exit{Signal: signalName(status.Signal())}
	}
	return deputy.Exit{Code: new(status.ExitStatus())}
}

func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return fmt.Sprint("SIG", int(sig))
}
