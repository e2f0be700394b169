//go:build unix

package manager

import (
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// maxKept is how many descriptors we have it keep: FileDescriptorStoreMax= of our unit.
const maxKept = 512

// Find reads the environment of the keeper, whose PID is given.
func Find(keeperPID int) Settings {
	s := Settings{Listens: os.Getenv("NOTIFY_SOCKET") != "", Store: maxKept}
	if n, err := strconv.Atoi(os.Getenv("FDSTORE")); err == nil && n < maxKept {
		s.Store = n
	}
	whom := os.Getenv("WATCHDOG_PID")
	if µs, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64); err == nil && µs > 0 && (whom == "" || whom == strconv.Itoa(keeperPID)) {
		s.Watchdog = time.Duration(µs) * time.Microsecond
	}
	return s
}

// monotonic is the time that RELOADING=1 has to say: CLOCK_MONOTONIC.
func monotonic() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail
	return time.Duration(ts.Nano())
}
