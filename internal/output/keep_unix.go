//go:build unix

package output

import "os"

func chmod(file *os.File, mode os.FileMode) error { return file.Chmod(mode) }
