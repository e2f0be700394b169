package process

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/windows"
)

// signalWithin bounds the helper that sends a Ctrl-Break.
const signalWithin = 5 * time.Second

var (
	kernel32          = windows.NewLazySystemDLL("kernel32.dll")
	procAttachConsole = kernel32.NewProc("AttachConsole")
	procFreeConsole   = kernel32.NewProc("FreeConsole")
)

// Signal asks the leaf to end, whatever sig is: Windows has one request for
// that, Ctrl-Break, which reaches every program on the task's console. ErrGone:
// there was none.
//
// A process can send it only on the console that it is attached to, and has but
// one: so a helper, ReaperMain, attaches itself to the task's and sends it there.
func (h *Host) Signal(leaf string, _ syscall.Signal) error {
	h.mu.Lock()
	a := h.attempts[leaf]
	if a == nil || a.job == 0 {
		h.mu.Unlock()
		return ErrGone
	}
	living, err := a.job.living()
	h.mu.Unlock()
	switch {
	case err != nil:
		return err
	case len(living) == 0:
		return ErrGone
	case len(h.options.Reaper) == 0:
		return errors.New("cannot send Ctrl-Break: there is no helper for it")
	}
	argv := append([]string{}, h.options.Reaper...)
	for _, s := range living {
		argv = append(argv, strconv.Itoa(s.PID))
	}
	return sendBreak(argv)
}

func sendBreak(argv []string) error {
	p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{Files: make([]*os.File, 3), Sys: &syscall.SysProcAttr{
		CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}})
	if err != nil {
		return fmt.Errorf("cannot send Ctrl-Break: %w", err)
	}
	late := time.AfterFunc(signalWithin, func() { _ = p.Kill() })
	defer late.Stop()
	state, err := p.Wait()
	if err == nil && !state.Success() {
		err = errors.New("none of its processes has a console: " + state.String())
	}
	if err != nil {
		return fmt.Errorf("cannot send Ctrl-Break: %w", err)
	}
	return nil
}

// ReaperMain is the helper of Signal; args end with the PIDs of a task. It sends
// Ctrl-Break on the console of the first that has one, which all of them share.
func ReaperMain(args []string) int {
	signal.Notify(make(chan os.Signal, 1), os.Interrupt) // it comes back to us, who are on that console now
	for _, arg := range args {
		pid, err := strconv.ParseUint(arg, 10, 32)
		if err != nil {
			continue // "--role reaper"
		}
		_, _, _ = procFreeConsole.Call() // we have none, or that of a process before this one
		if attached, _, _ := procAttachConsole.Call(uintptr(pid)); attached == 0 {
			continue
		}
		if windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, 0) == nil {
			return 0
		}
	}
	return 1
}
