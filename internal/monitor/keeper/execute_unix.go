//go:build unix

package keeper

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// carriedIn in the environment names the descriptor of what lives through
// execute: lines of text. A newer keeper reads what an older one wrote, so a line
// may be added, and is never changed.
//
//	monitor PID SOCKET SEQ READY EVERREADY ENDING BORN DELAY
//	pass SIGNAL
//	held FD "NAME"
//	untold SEQ "FRAME"
const carriedIn = "DEPUTY_KEEPER"

// execute executes the program that now stands at our path, in this process:
// children and descriptors stay ours. It returns only where that failed, and then
// nothing has changed.
//
// A signal that came before is carried. Until the new program takes them itself,
// an order to end ends the keeper, and so the monitor, at once, and the two that
// order what is under way anyway (read the configuration, begin anew) are ignored:
// the Go runtime unblocks SIGTERM before it has a handler, so it cannot be held back.
func (k *keeper) execute() error {
	signal.Ignore(unix.SIGHUP, unix.SIGUSR2)
	signal.Stop(k.orders)
	defer signal.Notify(k.orders, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGUSR2)
	for len(k.orders) > 0 {
		k.order((<-k.orders).(syscall.Signal))
	}
	carried, err := k.carry()
	if err != nil {
		return fmt.Errorf("cannot execute %s: %w", k.program.Self[0], err)
	}
	defer unix.Close(carried)
	keep := []int{carried, k.socket}
	for _, fd := range k.held {
		keep = append(keep, fd)
	}
	for _, fd := range keep {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0) // fails for no open descriptor
	}
	if k.program.Last != nil {
		k.program.Last()
	}
	env := append(append(os.Environ(), k.program.Env...), fmt.Sprintf("%s=%d", carriedIn, carried))
	err = unix.Exec(k.program.Self[0], k.program.Self, env)
	for _, fd := range keep {
		unix.CloseOnExec(fd)
	}
	return fmt.Errorf("cannot execute %s: %w", k.program.Self[0], err)
}

func (k *keeper) carry() (fd int, err error) {
	var b strings.Builder
	fmt.Fprintf(&b, "monitor %d %d %d %t %t %t %d %d\n", k.pid, k.socket, k.seq, k.ready, k.everReady, k.ending, k.born.UnixNano(), k.delay)
	for sig := range k.pass {
		fmt.Fprintf(&b, "pass %d\n", sig)
	}
	for name, fd := range k.held {
		fmt.Fprintf(&b, "held %d %q\n", fd, name)
	}
	for seq, text := range k.untold {
		fmt.Fprintf(&b, "untold %d %q\n", seq, text)
	}
	if fd, err = carrier(); err != nil {
		return -1, err
	}
	if n, err := unix.Pwrite(fd, []byte(b.String()), 0); err != nil || n != b.Len() {
		unix.Close(fd)
		return -1, errors.Join(err, io.ErrShortWrite)
	}
	return fd, nil
}

// resume takes up what the program before us in this process left; false: there
// was none.
func (k *keeper) resume() bool {
	fd, err := strconv.Atoi(os.Getenv(carriedIn))
	_ = os.Unsetenv(carriedIn)
	if err != nil {
		return false
	}
	f := os.NewFile(uintptr(fd), "carried")
	defer f.Close()
	text, _ := io.ReadAll(f) // of a file in memory: nothing of it can fail
	for line := range strings.Lines(string(text)) {
		var fd int
		var seq uint64
		var rest string
		var born int64
		var sig syscall.Signal
		if n, _ := fmt.Sscanf(line, "monitor %d %d %d %t %t %t %d %d", &k.pid, &k.socket, &k.seq, &k.ready, &k.everReady, &k.ending, &born, &k.delay); n == 8 {
			k.born = time.Unix(0, born)
		} else if n, _ := fmt.Sscanf(line, "pass %d", &sig); n == 1 {
			k.pass[sig] = true
		} else if n, _ := fmt.Sscanf(line, "held %d %q", &fd, &rest); n == 2 {
			unix.CloseOnExec(fd)
			k.held[rest] = fd
		} else if n, _ := fmt.Sscanf(line, "untold %d %q", &seq, &rest); n == 2 {
			k.untold[seq] = rest
		}
	}
	unix.CloseOnExec(k.socket)
	_ = send(k.socket, "executed ", -1, 0)
	k.listen()
	return true
}
