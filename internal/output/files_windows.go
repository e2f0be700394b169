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

// inGroup has do make files. Who may read them follows from the access list of
// their folder, which they inherit; gid has no meaning here.
func inGroup(_ int, do func() error) error { return do() }

// create makes a file that can only be appended to through its handle, which is
// all that a task gets. Whether it was there is not known.
func create(path string) (file *os.File, base int64, err error) {
	file, err = os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_WRONLY|os.O_APPEND|noFollow, 0o600)
	return file, unknown, err
}

// measure sees a file by its name.
func measure(path string) (status, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return status{}, err
	}
	return statusFrom(info)
}

func statusOf(file *os.File) (status, error) {
	info, err := file.Stat()
	if err != nil {
		return status{}, err
	}
	return statusFrom(info)
}

func statusFrom(info fs.FileInfo) (status, error) {
	if !info.Mode().IsRegular() {
		return status{}, errors.New("it is no regular file")
	}
	return status{size: info.Size(), block: punchUnit, allocated: -1, names: 1, own: true}, nil
}

// openToRead opens a file of a task so that it can be deleted meanwhile.
func openToRead(path string) (*os.File, status, error) { return openShared(path, windows.GENERIC_READ) }

// openToCut opens it also to take from it.
func openToCut(path string) (*os.File, status, error) {
	return openShared(path, windows.GENERIC_READ|windows.GENERIC_WRITE)
}

func openShared(path string, access uint32) (*os.File, status, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, status{}, &os.PathError{Op: "open", Path: path, Err: err}
	}
	h, err := windows.CreateFile(name, access, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE,
		nil, windows.OPEN_EXISTING, noFollow, 0)
	if err != nil {
		return nil, status{}, &os.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(h), path)
	st, err := statusOf(file)
	if err != nil {
		file.Close()
		return nil, status{}, err
	}
	return file, st, nil
}
