package output

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// noFollow opens a link itself (CreateFile, dwFlagsAndAttributes).
const noFollow = windows.FILE_FLAG_OPEN_REPARSE_POINT

// punchUnit is what a sparse file gives back at a time: 16 clusters of 4 KiB.
const punchUnit = 64 << 10

// makeDir makes dir. Who may read it follows from the access list of its parent,
// which it inherits; gid has no meaning here.
func makeDir(dir string, _ int) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// create makes a file that can only be appended to through its handle, which is
// all that a task gets.
func create(path string, _, _ int) (*os.File, error) {
	return os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_WRONLY|os.O_APPEND|noFollow, 0o600)
}

// measure gives a file's size and what of it can be given back at a time, in bytes.
func measure(path string) (size, block int64, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, 0, err
	}
	return info.Size(), punchUnit, nil
}

// openToRead opens a file of a task so that it can be deleted meanwhile.
func openToRead(path string) (*os.File, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE,
		nil, windows.OPEN_EXISTING, noFollow, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}
