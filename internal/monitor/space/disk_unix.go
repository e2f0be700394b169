//go:build unix

package space

import "golang.org/x/sys/unix"

// fileSystem says how the one stands that path is on, of what ordinary users may
// still take.
func fileSystem(path string) (disk, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return disk{}, err
	}
	return disk{
		total: int64(fs.Blocks) * int64(fs.Bsize), free: int64(fs.Bavail) * int64(fs.Bsize),
		inodes: int64(fs.Files), freeInodes: int64(fs.Ffree),
	}, nil
}

// allocated is what a file takes on the disk, in bytes; 0 if it is gone.
func allocated(path string) int64 {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return 0
	}
	return st.Blocks * 512
}
