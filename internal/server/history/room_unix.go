//go:build unix

package history

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// roomFor says whether there is room for a database at path.
func roomFor(path string) bool {
	var fs unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(path), &fs); err != nil {
		return true // not known: something else than room is taken to be missing
	}
	return uint64(fs.Bavail)*uint64(fs.Bsize) >= leastRoom && (fs.Files == 0 || fs.Ffree > 16)
}
