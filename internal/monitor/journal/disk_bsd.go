//go:build darwin || freebsd

package journal

import "os"

// fdatasync is fsync(2), and on macOS fcntl(2) with F_FULLFSYNC, for which
// os.File stands: fsync alone leaves the bytes in the drive's cache there.
func fdatasync(f *os.File) error { return f.Sync() }
