package monitor

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bootID names this boot of the machine (random(4)).
func bootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text)), err
}

// bootNow reads CLOCK_BOOTTIME in nanoseconds. Durations of tasks run on it, so
// that neither a set clock nor a restart of deputy changes them.
func bootNow() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return time.Now().UnixNano() // never on Linux 2.6.39 and later
	}
	return ts.Nano()
}
