//go:build unix

package main

import "syscall"

// refused are the errors of a port where nobody listens.
func refused() []syscall.Errno { return []syscall.Errno{syscall.ECONNREFUSED, syscall.ECONNRESET} }

// unreachable are those of a port that something stands before.
func unreachable() []syscall.Errno {
	return []syscall.Errno{syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.EACCES, syscall.EPERM}
}
