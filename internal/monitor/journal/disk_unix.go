//go:build unix

package journal

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockPatience is how long a lock is waited for. A monitor that was killed may
// have left a child on its way to exec, or a thread in a slow fdatasync(2),
// which holds the lock a little longer; a living one keeps it.
const lockPatience = time.Second

// lockDir takes the exclusive lock of dir, which the kernel gives up with the
// file, however this process ends. The file holds the PID for messages only.
// held may be a copy of a lock of this dir.
func lockDir(dir string, held *os.File) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if held != nil && sameFile(held, f) {
		f.Close()
		f = held
	}
	return awaitLock(f, lockPatience, unix.EWOULDBLOCK, func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
}

func sameFile(a, b *os.File) bool {
	one, err := a.Stat()
	if err != nil {
		return false
	}
	other, err := b.Stat()
	return err == nil && os.SameFile(one, other)
}

func truncate(f *os.File, size int64) error { return f.Truncate(size) }

// NoRoom says whether an error means that the disk, or a quota, is full.
func NoRoom(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}
