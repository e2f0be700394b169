package output

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lead is a hole before the output in a task's file, in bytes. A task that opens
// its own stdout or stderr anew and cuts it thereby, as `echo x > /dev/stderr`
// does (O_TRUNC), cuts the lead, too, and what is written then stands where it
// was: however short the task lived, the cut is seen. A hole costs no block, and
// whole blocks of output stay whole blocks of the file.
const lead = 4096

// leadStands says whether nothing was ever written where the lead is. It may have to wait: see aside.
func leadStands(file *os.File, st status) bool {
	if st.size < lead {
		return false
	}
	data, err := unix.Seek(int(file.Fd()), 0, unix.SEEK_DATA)
	return errors.Is(err, unix.ENXIO) || err == nil && data >= lead
}

// makeLead makes the lead of a file that is empty, and gives its length: 0 on a
// file system that keeps no holes, where it could not be told from zeros.
func makeLead(file *os.File) (int64, error) {
	err := file.Truncate(lead)
	if err == nil && !leadStands(file, status{size: lead}) {
		if err = file.Truncate(0); err == nil {
			err = file.Chmod(leadlessMode)
		}
		return 0, err
	}
	return lead, err
}

// leadReads says the same as far as it can be told by reading, which waits for nobody: that nothing but
// zeros stands there.
func leadReads(file *os.File, st status) bool {
	var buf [lead]byte
	if st.size < lead {
		return false
	}
	n, err := file.ReadAt(buf[:], 0)
	return err == nil && isZero(buf[:n])
}
