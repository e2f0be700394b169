//go:build unix

package server

import (
	"math"

	"golang.org/x/sys/unix"
)

// openFiles is how many descriptors this process may have; the Go runtime has
// raised the soft limit to the hard one.
func openFiles() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return math.MaxUint64
	}
	return uint64(limit.Cur)
}
