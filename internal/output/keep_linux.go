package output

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// writtenElsewhere says whether somebody has the file open for writing, or that
// it cannot be known: the kernel grants a lease to a reader only where there is
// no writer (fcntl(2), F_SETLEASE).
func writtenElsewhere(file *os.File) bool {
	if _, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_RDLCK); err != nil {
		return true
	}
	_, _ = unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	return false
}

// isFree says whether nobody has the files of a task open, which ended without having written to them.
func isFree(dir string) bool {
	for _, name := range []string{Stdout, Stderr} {
		file, _, err := openToRead(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false
		}
		held := isHeld(file)
		file.Close()
		if held {
			return false
		}
	}
	return true
}

// isHeld says whether somebody else has the file open, to write to it or to read: the kernel grants a
// write lease only where nobody has.
func isHeld(file *os.File) bool {
	if _, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		return true
	}
	_, _ = unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	return false
}

// reuse opens for appending a file that another task was given and never wrote to, if
// nobody else has it open, neither to write to it nor to read what comes. Otherwise the file goes,
// and there is none. It gives where output begins in it.
func reuse(path string, gid int) (*os.File, int64) {
	file, st, err := openKind(path, os.O_WRONLY|os.O_APPEND)
	if err != nil {
		_ = os.Remove(path)
		return nil, 0
	}
	as := status{size: lead, block: st.block, mode: liveMode, names: 1, own: true, gid: gid}
	if st != as || isHeld(file) {
		file.Close()
		_ = os.Remove(path)
		return nil, 0
	}
	_, _ = unix.FcntlInt(file.Fd(), unix.F_SETFL, unix.O_APPEND) // it was opened without waiting
	return file, lead
}

// replace puts the file at fresh in the place of that at path, in one step. To
// exchange the two and delete the old one is to spare ext4 the writing of the new
// one's blocks at once, which it does for a rename over a file.
func replace(fresh, path string) error {
	err := unix.Renameat2(unix.AT_FDCWD, fresh, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE)
	if err == nil {
		return os.Remove(fresh)
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return os.Rename(fresh, path)
	}
	return os.NewSyscallError("renameat2", err)
}
