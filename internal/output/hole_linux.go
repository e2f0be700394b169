package output

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// holed names file systems that have holes, for a message.
const holed = "ext4, xfs, btrfs or tmpfs"

// punchHole takes the bytes of a range: it reads as zeros from then on, and
// nothing else of the file changes (fallocate(2)).
func punchHole(file *os.File, from, length int64) error {
	for {
		err := unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, length)
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fallocate", err)
		}
	}
}

// hasNoHoles says whether an error of punchHole means that nothing was taken,
// nor ever will be.
func hasNoHoles(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS)
}
