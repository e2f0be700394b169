//go:build !linux

package journal

import (
	"errors"
	"os"
)

// blocks and fallocate keep no reserve here.
func blocks(*os.File) (int64, error) { return 0, nil }

func fallocate(*os.File, int64) error { return errors.ErrUnsupported }
