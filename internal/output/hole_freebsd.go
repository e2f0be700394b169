package output

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// holed names file systems that have holes, for a message.
const holed = "ZFS, or UFS, of FreeBSD 14 or later"

// fspacectl(2) came with this __FreeBSD_version; an earlier kernel ends a
// process that makes a call which it does not know.
const (
	fspacectlSince  = 1400032
	sysFspacectl    = 580
	spacectlDealloc = 1
	osreldate       = "kern.osreldate"
)

// spaceRange is struct spacectl_range.
type spaceRange struct{ offset, length int64 }

// punchHole takes the bytes of a range: it reads as zeros from then on, and
// nothing else of the file changes (fspacectl(2)).
func punchHole(file *os.File, from, length int64) error {
	if version, err := unix.SysctlUint32(osreldate); err != nil || version < fspacectlSince {
		return os.NewSyscallError("fspacectl", unix.ENOSYS)
	}
	left := spaceRange{from, length}
	for left.length > 0 {
		asked := left
		_, _, errno := unix.Syscall6(sysFspacectl, file.Fd(), spacectlDealloc,
			uintptr(unsafe.Pointer(&asked)), 0, uintptr(unsafe.Pointer(&left)), 0)
		if errno != 0 && errno != unix.EINTR { // interrupted, it says in left what is still to do
			return os.NewSyscallError("fspacectl", errno)
		}
	}
	return nil
}

// hasNoHoles says whether an error of punchHole means that nothing was taken,
// nor ever will be.
func hasNoHoles(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENODEV)
}
