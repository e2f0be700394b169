//go:build unix

package space

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"deputy"
)

// ownerAttribute is the extended attribute of a task's directory that says whose
// it is: it takes no inode. Only root may see those that are trusted.
func ownerAttribute() string {
	switch {
	case os.Geteuid() != 0:
		return "user.deputy.caller"
	case runtime.GOOS == "linux":
		return "trusted.deputy.caller"
	}
	return "system.deputy.caller"
}

// writeOwner says in a task's directory to which caller its output is charged.
func writeOwner(dir string, who deputy.Caller) error {
	return unix.Setxattr(dir, ownerAttribute(), []byte(who), 0)
}

// readOwner is nobody in particular where nothing says so.
func readOwner(dir string) deputy.Caller {
	buf := make([]byte, 1024)
	n, err := unix.Getxattr(dir, ownerAttribute(), buf)
	if err != nil {
		return ""
	}
	return deputy.Caller(buf[:n])
}
