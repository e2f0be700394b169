//go:build darwin || freebsd

package monitor

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// bootID names this boot of the machine by when it was (kern.boottime).
func bootID() (string, error) {
	at, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d", at.Sec), nil
}

// bootNow reads a clock in nanoseconds that goes on from boot to boot, also
// while the machine sleeps: CLOCK_MONOTONIC on macOS, CLOCK_MONOTONIC on
// FreeBSD, too. Durations of tasks run on it, so that neither a set clock nor a
// restart of deputy changes them.
func bootNow() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return time.Now().UnixNano() // never: both have had it for long
	}
	return ts.Nano()
}
