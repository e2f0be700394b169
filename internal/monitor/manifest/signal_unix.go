//go:build unix

package manifest

import "golang.org/x/sys/unix"

// signalNumber gives the number of a signal like "SIGTERM"; 0: there is none.
func signalNumber(name string) int { return int(unix.SignalNum(name)) }
