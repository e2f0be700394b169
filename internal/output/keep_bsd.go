//go:build unix && !linux

package output

import "os"

// writtenElsewhere says that it cannot be known here.
func writtenElsewhere(*os.File) bool { return true }

func replace(fresh, path string) error { return os.Rename(fresh, path) }
