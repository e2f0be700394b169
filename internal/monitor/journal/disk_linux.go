package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lockDir takes the exclusive lock of dir, which the kernel gives up with the
// file, however this process ends. The file holds the PID for messages only.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		pid, _ := os.ReadFile(f.Name()) // for the message only
		err = fmt.Errorf("another deputyd holds it (pid %s)", strings.TrimSpace(string(pid)))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	// In place and of one width: a full disk must not keep a monitor from its tasks.
	_, _ = f.WriteAt(fmt.Appendf(nil, "%-10d\n", os.Getpid()), 0)
	return f, nil
}

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

// syncDir makes the names in dir durable: births, deaths and renames of files.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
