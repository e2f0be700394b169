//go:build unix

package monitor

import "golang.org/x/sys/unix"

func closeDescriptor(fd int) { unix.Close(fd) }
