//go:build unix

package rootonly

import (
	"io/fs"
	"os"
	"syscall"
)

// owner gives the user id that a file belongs to; -1: it is not known.
func owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// chmod makes a file's mode what it should be, whatever the umask is.
func chmod(f *os.File, mode fs.FileMode) error { return f.Chmod(mode) }
