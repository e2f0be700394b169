package output

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// inGroup has do make files that belong to the group gid from their first
// moment: whoever may read them meets none that it may not. fsgid is one
// thread's own.
func inGroup(gid int, do func() error) error {
	own := os.Getegid()
	if gid == own {
		return do()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_, _ = unix.SetfsgidRetGid(gid)
	defer func() { _, _ = unix.SetfsgidRetGid(own) }()
	if now, err := unix.SetfsgidRetGid(-1); err != nil || now != gid { // it tells only so
		return fmt.Errorf("cannot make files of the group %d: %w", gid, unix.EPERM)
	}
	return do()
}
