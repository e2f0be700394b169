package output

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// holed names file systems that have holes, for a message.
const holed = "NTFS or ReFS"

// zeroData is FILE_ZERO_DATA_INFORMATION: [from, to) in bytes.
type zeroData struct{ from, to int64 }

// punchHole takes the bytes of a range: it reads as zeros from then on, and
// nothing else of the file changes (FSCTL_SET_SPARSE, FSCTL_SET_ZERO_DATA).
func punchHole(file *os.File, from, length int64) error {
	var n uint32
	h := windows.Handle(file.Fd())
	if err := windows.DeviceIoControl(h, windows.FSCTL_SET_SPARSE, nil, 0, nil, 0, &n, nil); err != nil {
		return os.NewSyscallError("FSCTL_SET_SPARSE", err)
	}
	zero := zeroData{from, from + length}
	err := windows.DeviceIoControl(h, windows.FSCTL_SET_ZERO_DATA, (*byte)(unsafe.Pointer(&zero)), uint32(unsafe.Sizeof(zero)), nil, 0, &n, nil)
	return os.NewSyscallError("FSCTL_SET_ZERO_DATA", err)
}

// hasNoHoles says whether an error of punchHole means that nothing was taken,
// nor ever will be.
func hasNoHoles(err error) bool {
	return errors.Is(err, windows.ERROR_INVALID_FUNCTION) || errors.Is(err, windows.ERROR_NOT_SUPPORTED)
}
