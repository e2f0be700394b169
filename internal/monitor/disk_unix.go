//go:build unix

package monitor

import "golang.org/x/sys/unix"

// fileSystem gives the size of the one that path is on, and what of it
// ordinary users may still take, in bytes.
func fileSystem(path string) (total, free int64, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return 0, 0, err
	}
	return int64(fs.Blocks) * int64(fs.Bsize), int64(fs.Bavail) * int64(fs.Bsize), nil
}

// allocated is what a file takes on the disk, in bytes; 0 if it is gone.
func allocated(path string) int64 {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return 0
	}
	return st.Blocks * 512
}
