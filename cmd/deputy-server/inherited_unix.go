//go:build unix

package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"deputy/internal/server"
)

// inherited takes the sockets that the monitor has left open.
func inherited() (server.Sockets, error) {
	var files [3]*os.File
	for i, name := range []string{"wall", "door", "notify"} {
		fd := i + 3
		if _, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
			return server.Sockets{}, errors.New("cannot start alone: deputy-server is started by deputyd, with sockets as descriptors 3, 4 and 5; for a deputy of your own run: deputy up")
		}
		unix.CloseOnExec(fd)
		files[i] = os.NewFile(uintptr(fd), name)
	}
	return server.Sockets{Stream: files[0], Door: files[1], Notify: files[2]}, nil
}
