//go:build unix

package signers

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// readKey opens a key file without following a link, and reads it only if its
// owner alone can.
func readKey(path string, uid uint32) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, fmt.Errorf("%s is not a regular file", path)
	case st.Uid != 0 && st.Uid != uid:
		return nil, fmt.Errorf("%s belongs to uid %d; remedy: chown root %s", path, st.Uid, path)
	case st.Mode&0o077 != 0:
		return nil, fmt.Errorf("%s can be read by others (mode %04o); remedy: chmod 600 %s, and a new secret if somebody may have read it", path, st.Mode&0o777, path)
	case st.Size > 64<<10:
		return nil, fmt.Errorf("%s has %d bytes: that is no key", path, st.Size)
	}
	text := make([]byte, st.Size)
	n, err := f.Read(text)
	if err != nil && n == 0 && st.Size > 0 {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return text[:n], nil
}
