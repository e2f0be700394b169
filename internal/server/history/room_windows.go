package history

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

// roomFor says whether there is room for a database at path.
func roomFor(path string) bool {
	dir, err := windows.UTF16PtrFromString(filepath.Dir(path))
	if err != nil {
		return true
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(dir, &free, nil, nil); err != nil {
		return true // not known: something else than room is taken to be missing
	}
	return free >= leastRoom
}
