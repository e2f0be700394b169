package manifest

import "syscall"

// signalNumber gives the number of a signal that can be sent here, as a
// Ctrl-Break: "SIGTERM" and "SIGINT"; 0: there is none.
func signalNumber(name string) int {
	switch name {
	case "SIGTERM":
		return int(syscall.SIGTERM)
	case "SIGINT":
		return int(syscall.SIGINT)
	}
	return 0
}
