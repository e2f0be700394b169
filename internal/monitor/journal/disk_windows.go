package journal

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/windows"
)

// lockPatience is how long a lock is waited for. The kernel closes the files of
// a monitor that was killed a little after its end; a living one keeps them.
const lockPatience = time.Second

// lockAt is where the locked byte is: far behind the text, so that others can
// read that (a locked byte cannot be read, unlike under flock(2)).
const lockAt = 1 << 30

// lockDir takes the exclusive lock of dir, which the kernel gives up with the
// file, however this process ends. The file holds the PID for messages only.
// A lock goes with the handle here, so one of another Journal is not taken over.
func lockDir(dir string, _ *os.File) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return awaitLock(f, lockPatience, windows.ERROR_LOCK_VIOLATION, func() error {
		return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
			0, 1, 0, &windows.Overlapped{Offset: lockAt})
	})
}

// fdatasync is FlushFileBuffers: what was written, and the length, are on the disk.
func fdatasync(f *os.File) error { return f.Sync() }

// truncate cuts f, which was opened for appending and so cannot do it itself.
func truncate(f *os.File, size int64) error { return os.Truncate(f.Name(), size) }

// NoRoom says whether an error means that the disk, or a quota, is full.
func NoRoom(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) || errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}
