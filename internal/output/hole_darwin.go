package output

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// holed names file systems that have holes, for a message.
const holed = "APFS"

// punchHole takes the bytes of a range of whole blocks: it reads as zeros from
// then on, and nothing else of the file changes (fcntl(2), F_PUNCHHOLE).
func punchHole(file *os.File, from, length int64) error {
	// struct fpunchhole has the members of fstore up to the length; the first two are 0.
	hole := unix.Fstore_t{Offset: from, Length: length}
	for {
		err := unix.FcntlFstore(file.Fd(), unix.F_PUNCHHOLE, &hole)
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("F_PUNCHHOLE", err)
		}
	}
}

// hasNoHoles says whether an error of punchHole means that nothing was taken,
// nor ever will be.
func hasNoHoles(err error) bool { return errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOTTY) }
