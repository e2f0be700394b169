//go:build unix

package main

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// owner gives the user id that a file belongs to.
func owner(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// signalNumber gives the number of a signal like "SIGKILL", or 0.
func signalNumber(name string) int { return int(unix.SignalNum(name)) }
