package monitor

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// deathOf says how a server ended.
func deathOf(state *os.ProcessState) error {
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGSYS {
		return errors.New(state.String())
	}
	return fmt.Errorf("killed by its system call filter (SIGSYS), as one that was taken over would be; which call it was the kernel's log may say: "+
		"dmesg | grep 'pid=%d .*syscall='; without a filter it is started by [server] confine = false", state.Pid())
}
