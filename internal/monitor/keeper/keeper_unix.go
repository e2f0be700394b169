//go:build unix

// Package keeper keeps the monitor alive. The keeper reads no configuration and
// parses nothing but the frames of its own monitor. It is child subreaper, so
// the tasks of a monitor that died become its children: it takes the status of
// each only when the next monitor is there to be told.
//
// The exchange, over one SOCK_SEQPACKET socketpair, one frame a message:
//
//	monitor → keeper   hello             a monitor is there, or a new binary in the same process
//	keeper → monitor   held NAME + fd    each socket that it holds
//	keeper → monitor   end
//	monitor → keeper   hold NAME + fd    hold this socket; drop NAME: no longer
//	monitor → keeper   ready             tell me who ended
//	keeper → monitor   exit SEQ PID STATUS LF text of /proc/PID/cgroup
//	monitor → keeper   done SEQ          that exit is durable, or not of interest
//
// An exit that is not done is told again to the next monitor.
package keeper

import (
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	firstDelay = 100 * time.Millisecond // the first restart is at once, the second after this, then doubling
	lastDelay  = 5 * time.Second
	longLife   = 10 * time.Second // after such a life a monitor is restarted at once again
	window     = 64               // exits told and not done: as many fit in the socket, so neither end waits for the other
)

type keeper struct {
	argv   []string
	stderr io.Writer
	held   map[string]int          // listening sockets by name
	untold map[uint64]string       // exit frames that are not done, by sequence number
	seq    uint64                  // of the last exit
	pass   map[syscall.Signal]bool // to be passed on when a monitor is ready
	ending bool                    // we were told to end: so is every monitor from now on

	pid       int        // of the monitor; 0: none lives
	socket    int        // ours of the pair
	frames    chan frame // what it sends; closed at its end
	ready     bool       // this monitor is
	everReady bool       // some monitor was
	born      time.Time
	delay     time.Duration
	restart   <-chan time.Time
}

// Run keeps a monitor alive until one exits in good order (0), or the first
// exits before it was ready: then its exit code, 128+N for signal N, is
// returned. What it has to say goes to stderr.
func Run(argv []string, stderr io.Writer) int {
	if err := becomeSubreaper(); err != nil {
		fmt.Fprintln(stderr, "deputyd: cannot become subreaper:", err)
		return 1
	}
	children, orders := make(chan os.Signal, 1), make(chan os.Signal, 16)
	signal.Notify(children, unix.SIGCHLD)
	signal.Notify(orders, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGUSR2)
	k := &keeper{argv: argv, stderr: stderr, held: map[string]int{}, untold: map[uint64]string{}, pass: map[syscall.Signal]bool{}}
	if err := k.start(); err != nil {
		fmt.Fprintln(stderr, "deputyd: cannot start the monitor:", err)
		return 1
	}
	for {
		select {
		case f, ok := <-k.frames:
			k.handle(f, ok)
		case sig := <-orders:
			k.order(sig.(syscall.Signal))
		case <-k.restart:
			k.restart = nil
			if err := k.start(); err != nil {
				fmt.Fprintln(stderr, "deputyd: cannot start the monitor:", err)
				k.startLater()
			}
		case <-children:
		}
		if code, over := k.reap(); over {
			return code
		}
	}
}

// start starts a monitor in a process group of its own: a Ctrl-C at the
// terminal reaches it once, through us.
func (k *keeper) start() error {
	pair, err := socketpair()
	if err != nil {
		return err
	}
	defer unix.Close(pair[1])
	pid, err := syscall.ForkExec(k.argv[0], k.argv, &syscall.ProcAttr{Env: os.Environ(),
		Files: []uintptr{0, 1, 2, uintptr(pair[1])}, Sys: &syscall.SysProcAttr{Setpgid: true}})
	if err != nil {
		unix.Close(pair[0])
		return err
	}
	k.pid, k.socket, k.born, k.ready = pid, pair[0], time.Now(), false
	k.frames = make(chan frame)
	go receiveAll(k.socket, k.frames)
	return nil
}

// handle does what the monitor says.
func (k *keeper) handle(f frame, ok bool) {
	if !ok {
		k.frames = nil // its end of the socket is closed; its death follows
		return
	}
	verb, name, _ := strings.Cut(f.text, " ")
	switch {
	case verb == "hold" && f.fd >= 0:
		k.drop(name)
		k.held[name] = f.fd
	case verb == "drop":
		k.drop(name)
	case verb == "hello":
		k.ready = false
		for name, fd := range k.held {
			_ = send(k.socket, "held "+name, fd) // fails only when it died: the next one is given all
		}
		_ = send(k.socket, "end", -1)
	case verb == "ready":
		k.ready, k.everReady = true, true
		for _, seq := range slices.Sorted(maps.Keys(k.untold)) {
			_ = send(k.socket, k.untold[seq], -1)
		}
		if k.ending { // one that dies while it ends leaves the rest of that to the next
			k.pass[unix.SIGTERM] = true
		}
		for sig := range k.pass {
			_ = unix.Kill(k.pid, sig)
		}
		clear(k.pass)
	case verb == "done":
		var seq uint64
		_, _ = fmt.Sscan(name, &seq) // of a number that we did not send nothing is deleted
		delete(k.untold, seq)
	}
}

func (k *keeper) drop(name string) {
	if fd, ok := k.held[name]; ok {
		unix.Close(fd)
		delete(k.held, name)
	}
}

// order passes a signal on. One that comes while a monitor is being restarted
// must not be lost, nor kill it before it can obey.
func (k *keeper) order(sig syscall.Signal) {
	if k.ready || !k.everReady {
		_ = unix.Kill(k.pid, sig) // our child, not yet reaped: the number is its own
	} else {
		k.pass[sig] = true
	}
	k.ending = k.ending || sig == unix.SIGTERM || sig == unix.SIGINT
}

// reap looks after the monitor, and for a ready one after everyone else. A
// monitor that is dead is taken first, so it cannot stand before the others.
func (k *keeper) reap() (code int, over bool) {
	var status unix.WaitStatus
	if k.pid > 0 {
		if pid, _ := unix.Wait4(k.pid, &status, unix.WNOHANG, nil); pid == k.pid {
			return k.monitorEnded(status)
		}
	}
	for k.ready && len(k.untold) < window {
		pid := endedChild()
		if pid == 0 || pid == k.pid {
			break
		}
		// Before the reaping, and readable even when the cgroup is removed.
		cgroup, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if reaped, _ := unix.Wait4(pid, &status, unix.WNOHANG, nil); reaped == pid {
			k.seq++
			k.untold[k.seq] = fmt.Sprintf("exit %d %d %d\n%s", k.seq, pid, uint32(status), cgroup)
			_ = send(k.socket, k.untold[k.seq], -1)
		}
	}
	return 0, false
}

func (k *keeper) monitorEnded(status unix.WaitStatus) (code int, over bool) {
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
	k.pid, k.ready = 0, false
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
