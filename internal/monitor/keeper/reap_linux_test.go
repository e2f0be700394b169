package keeper

import (
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A process exits from before its children are ours until it is reaped.
func TestExiting(t *testing.T) {
	cmd := exec.Command("/bin/cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if exiting(cmd.Process.Pid) {
		t.Error("one that waits for its input is taken for one that exits")
	}
	in.Close()
	var info unix.Siginfo
	for end := time.Now().Add(time.Minute); !exiting(cmd.Process.Pid); {
		if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil || time.Now().After(end) {
			t.Fatalf("a zombie is not taken for one that has begun to exit: %v", err)
		}
	}
	_ = cmd.Wait()
	if !exiting(cmd.Process.Pid) {
		t.Error("one that is no more is not taken for one that exits")
	}
}
