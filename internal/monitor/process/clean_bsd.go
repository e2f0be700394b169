//go:build darwin || freebsd

package process

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"

	"golang.org/x/sys/unix"
)

// CleanSelf undoes what this process inherited by accident and its children
// would inherit from it: ignored signals, the umask, open descriptors. It must
// be the first call of main. Blocked signals stay: launchd and rc(8) block none.
func CleanSelf() error {
	unix.Umask(0o022)
	if err := os.Unsetenv(cleanMark); err != nil {
		return err
	}
	caught := make(chan os.Signal, 1) // nobody reads it: what is caught is reset in a child
	for sig := unix.Signal(1); sig < 32; sig++ {
		if signal.Ignored(sig) {
			signal.Notify(caught, sig)
		}
	}
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return fmt.Errorf("cannot list our descriptors: %w", err)
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// cleanMark is what Cleaned sets, and nothing reads: what is done here can be
// done twice.
const cleanMark = "DEPUTY_CLEAN"

// Cleaned is what a clean program puts into the environment of one that it
// executes in its own process.
func Cleaned() string { return cleanMark + "=1" }

// ReaperMain is for Linux without cgroups.
func ReaperMain([]string) int {
	fmt.Fprintln(os.Stderr, "deputyd: there are no subreapers on this system")
	return 2
}
