package main

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// refused are the errors of a port where nobody listens. Winsock has numbers
// of its own.
func refused() []syscall.Errno {
	return []syscall.Errno{windows.WSAECONNREFUSED, windows.WSAECONNRESET}
}

// unreachable are those of a port that something stands before.
func unreachable() []syscall.Errno {
	return []syscall.Errno{windows.WSAEHOSTUNREACH, windows.WSAENETUNREACH, windows.WSAEHOSTDOWN, windows.WSAEACCES}
}
