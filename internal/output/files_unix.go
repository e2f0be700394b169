//go:build unix

package output

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const noFollow = unix.O_NOFOLLOW

// create opens a file for appending, and makes it where it is missing. It gives
// where the output begins in it, or unknown if it was there already. The umask
// takes from a mode what others may (see process.CleanSelf).
func create(path string) (file *os.File, base int64, err error) {
	const flags = os.O_WRONLY | os.O_APPEND | unix.O_NOFOLLOW
	file, err = os.OpenFile(path, flags|os.O_CREATE|os.O_EXCL, keptMode)
	if errors.Is(err, fs.ErrExist) { // an earlier attempt's, or of one who was killed while making it
		if file, err = os.OpenFile(path, flags|unix.O_NONBLOCK, 0); err != nil {
			return nil, 0, err
		}
		if st, err := statusOf(file); err != nil || st.size > 0 {
			file, err = whole(file, err)
			return file, unknown, err
		}
	}
	if err != nil {
		return nil, 0, err
	}
	// In this order: no file but a live one has a lead.
	if err = file.Chmod(liveMode); err == nil {
		base, err = makeLead(file)
	}
	file, err = whole(file, err)
	return file, base, err
}

// whole closes what could not be made.
func whole(file *os.File, err error) (*os.File, error) {
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// measure sees a file by its name.
func measure(path string) (status, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return status{}, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	return statusFrom(&st, path)
}

func statusOf(file *os.File) (status, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return status{}, &os.PathError{Op: "fstat", Path: file.Name(), Err: err}
	}
	return statusFrom(&st, file.Name())
}

func statusFrom(st *unix.Stat_t, path string) (status, error) {
	if uint32(st.Mode)&unix.S_IFMT != unix.S_IFREG {
		return status{}, &os.PathError{Op: "see", Path: path, Err: errNotRegular}
	}
	mode := os.FileMode(st.Mode) & os.ModePerm
	if uint32(st.Mode)&unix.S_ISVTX != 0 {
		mode |= os.ModeSticky
	}
	return status{
		size: st.Size, block: int64(st.Blksize), allocated: int64(st.Blocks) * 512, mode: mode,
		names: int(st.Nlink), own: int(st.Uid) == os.Geteuid(), gid: int(st.Gid),
	}, nil
}

var errNotRegular = fmt.Errorf("it is no regular file: %w", syscall.EINVAL)

// openToRead opens a file of a task without following a link, and without
// waiting for whoever put something else there, or holds a lease on it.
func openToRead(path string) (*os.File, status, error) { return openKind(path, os.O_RDONLY) }

// openToCut opens it also to take from it.
func openToCut(path string) (*os.File, status, error) { return openKind(path, os.O_RDWR) }

func openKind(path string, how int) (*os.File, status, error) {
	file, err := os.OpenFile(path, how|noFollow|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, status{}, err
	}
	st, err := statusOf(file)
	file, err = whole(file, err)
	return file, st, err
}

func chmod(file *os.File, mode os.FileMode) error { return file.Chmod(mode) }
