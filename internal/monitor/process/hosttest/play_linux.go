package hosttest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// hide lets a process have nothing in common with us but the cgroup, or the subreaper.
func hide(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// lives leaves zombies out: proc_pid_stat(5).
func lives(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return err == nil && !bytes.HasPrefix(rest, []byte("Z"))
}
