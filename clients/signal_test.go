//go:build linux

package clients

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestEverySignalIsAnExitStatus: whatever signal ends a task, the command line and
// the shell's client end with 128 and its number. What the kernel does not take
// for an argument is 126, as in any shell.
func TestEverySignalIsAnExitStatus(t *testing.T) {
	d := start(t)
	shell := func(args ...string) *exec.Cmd {
		cmd := exec.Command("sh", append([]string{"shell/deputy.sh"}, args...)...)
		cmd.Env = append(os.Environ(), "DEPUTY_SOCKET="+d.Socket)
		return cmd
	}
	ends := func(cmd *exec.Cmd, what string, want int) {
		t.Helper()
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%s: exit status %d, want %d: %s", what, got, want, out)
		}
	}
	// The others are ignored, or do not end a process.
	for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 25, 26, 27, 29, 30, 31, 34, 37, 64} {
		ends(d.Command("run", "m", "signal", fmt.Sprint("n=", n)), fmt.Sprint("deputy run, signal ", n), 128+n)
		ends(shell("run", "m", "signal", fmt.Sprint("n:=", n)), fmt.Sprint("deputy.sh, signal ", n), 128+n)
	}
	long := strings.Repeat("x", 200_000) // the longest argument has 128 KiB
	cmd := d.Command("run", "m", "long", "text=@-")
	cmd.Stdin = strings.NewReader(long)
	ends(cmd, "deputy run, a long argument", 126)
	cmd = shell("run", "m", "long", "text@-")
	cmd.Stdin = strings.NewReader(long)
	ends(cmd, "deputy.sh, a long argument", 126)
}
