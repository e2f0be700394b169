package birth

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"

	"deputy/internal/uuid7"
)

// openAtOnce is nothing: a named pipe has no place in a folder here.
const openAtOnce = 0

// temporary makes a file that is deleted with its last handle, the task's.
func temporary(dir string) (*os.File, error) {
	name := filepath.Join(dir, "stdin-"+uuid7.New())
	wide, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	h, err := windows.CreateFile(wide, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE,
		nil, windows.CREATE_NEW, windows.FILE_ATTRIBUTE_TEMPORARY|windows.FILE_FLAG_DELETE_ON_CLOSE, 0)
	if err != nil {
		return nil, &os.PathError{Op: "create", Path: name, Err: err}
	}
	return os.NewFile(uintptr(h), name), nil
}
