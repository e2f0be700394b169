//go:build darwin || freebsd

package clock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Boot names this boot of the machine by when it was (kern.boottime).
func Boot() (string, error) {
	at, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d", at.Sec), nil
}

// Now reads a clock in nanoseconds that runs from the boot on, also while
// the machine sleeps: CLOCK_MONOTONIC on macOS and on FreeBSD.
func Now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return time.Now().UnixNano() // never: both have had it for long
	}
	return ts.Nano()
}
