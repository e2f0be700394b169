package journal

import (
	"os"

	"golang.org/x/sys/unix"
)

// fdatasync is fsync(2) without the metadata that reading back does not need. A
// new length counts as needed.
func fdatasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if err != unix.EINTR { // a signal is no failure: nothing was lost yet
			return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
	}
}
