//go:build darwin || freebsd

package birth

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// openAtOnce does not wait at a named pipe that was put there meanwhile.
const openAtOnce = unix.O_NONBLOCK

// temporary makes a file for us alone that has no name any more.
func temporary(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".stdin-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
