//go:build unix

package keeper

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// start starts a monitor.
func (k *keeper) start() error {
	pair, err := socketpair()
	if err != nil {
		return err
	}
	defer unix.Close(pair[1])
	pid, err := syscall.ForkExec(k.program.Monitor[0], k.program.Monitor, &syscall.ProcAttr{Env: os.Environ(),
		Files: []uintptr{0, 1, 2, uintptr(pair[1])}, Sys: monitorAttributes()})
	if err != nil {
		unix.Close(pair[0])
		return err
	}
	k.pid, k.socket, k.born, k.ready = pid, pair[0], time.Now(), false
	k.listen()
	return nil
}

func (k *keeper) listen() {
	k.frames = make(chan frame)
	go receiveAll(k.socket, k.frames)
}

func (k *keeper) monitorEnded(status unix.WaitStatus) (code int, over bool) {
	k.pid = 0 // the number may be another's from now on
	_ = unix.Shutdown(k.socket, unix.SHUT_RDWR)
	for k.frames != nil { // what it said last counts
		f, ok := <-k.frames
		k.handle(f, ok)
	}
	unix.Close(k.socket)
	code = status.ExitStatus()
	if status.Signaled() {
		code = 128 + int(status.Signal())
	}
	if !k.everReady || k.ready && code == 0 {
		return code, true
	}
	k.ready = false
	if time.Since(k.born) >= longLife {
		k.delay = 0
	}
	fmt.Fprintf(k.stderr, "deputyd: the monitor ended (%s); starting it again in %v; tasks live on\n", describe(status), k.delay)
	k.startLater()
	return 0, false
}

func (k *keeper) startLater() {
	k.restart = time.After(k.delay)
	k.delay = min(max(2*k.delay, firstDelay), lastDelay)
}
