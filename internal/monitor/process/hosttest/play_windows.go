package hosttest

import (
	"os/exec"

	"golang.org/x/sys/windows"

	"deputy"
)

// exit ends this process, with all 32 bits of its code.
func exit(e deputy.Exit) { windows.ExitProcess(uint32(*e.Code)) }

// hide lets a process have nothing in common with us but the job.
func hide(c *exec.Cmd) {
	c.SysProcAttr = &windows.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}
}

func lives(pid int) bool {
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(pid))
	if err != nil {
		return false
	}
	defer windows.CloseHandle(h)
	state, _ := windows.WaitForSingleObject(h, 0)
	return state != windows.WAIT_OBJECT_0
}
