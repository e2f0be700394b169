//go:build unix

package reception

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// findCapacity asks for the limit as it is now: the Go runtime has raised the
// soft one to the hard one.
func findCapacity() (capacity, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return capacity{}, fmt.Errorf("cannot find the limit of open files: %w", err)
	}
	return capacityOf(uint64(limit.Cur)), nil
}
