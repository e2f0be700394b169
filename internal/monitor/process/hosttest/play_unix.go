//go:build unix

package hosttest

import (
	"os"
	"strings"
	"syscall"

	"deputy"
)

// exit ends this process. By a signal a shell does it: the Go runtime catches some.
func exit(e deputy.Exit) {
	if e.Code != nil {
		os.Exit(*e.Code)
	}
	_ = syscall.Exec("/bin/sh", []string{"sh", "-c", "kill -" + strings.TrimPrefix(e.Signal, "SIG") + " $$"}, nil)
	os.Exit(99)
}
