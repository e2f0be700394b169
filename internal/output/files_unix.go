//go:build unix

package output

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

const noFollow = unix.O_NOFOLLOW

// makeDir makes dir, which belongs to the user of this process.
func makeDir(dir string, gid int) error {
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	file, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return own(file, os.Geteuid(), gid, dirMode)
}

func create(path string, uid, gid int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return nil, err
	}
	if err := own(file, uid, gid, fileMode); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// own gives file its owners and its mode, whatever the umask was. It changes
// only what differs: each change is a write to the file system's journal, and
// this stands in the way of every start.
func own(file *os.File, uid, gid int, mode uint32) error {
	fd := int(file.Fd())
	var stat unix.Stat_t
	err := unix.Fstat(fd, &stat)
	if err == nil && (int(stat.Uid) != uid || int(stat.Gid) != gid) {
		err = unix.Fchown(fd, uid, gid)
	}
	if err == nil && uint32(stat.Mode)&0o7777 != mode {
		err = unix.Fchmod(fd, mode)
	}
	if err != nil {
		return fmt.Errorf("cannot own %s: %w", file.Name(), err)
	}
	return nil
}

// measure gives a file's size and the block of its file system, in bytes.
func measure(path string) (size, block int64, err error) {
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		return 0, 0, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	return stat.Size, int64(stat.Blksize), nil
}

// openToRead opens a file of a task without following a link, and without
// waiting for whoever put something else there.
func openToRead(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|noFollow|unix.O_NONBLOCK, 0)
}
