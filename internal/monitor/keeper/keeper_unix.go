//go:build unix

// Package keeper keeps the monitor alive. The keeper reads no configuration and
// parses nothing but the frames of its own monitor. It is child subreaper, so
// the tasks of a monitor that died become its children: it takes the status of
// each only when the next monitor is there to be told.
//
// The exchange, over one SOCK_SEQPACKET socketpair, one frame a message:
//
//	monitor → keeper   hello             a monitor is there, or a new binary in the same process
//	keeper → monitor   held NAME + fd    each descriptor that it holds
//	keeper → monitor   end
//	monitor → keeper   hold NAME + fd    hold this descriptor; drop NAME: no longer
//	monitor → keeper   ready             tell me who ended, and pass signals on
//	keeper → monitor   exit SEQ PID STATUS LF text of /proc/PID/cgroup
//	monitor → keeper   done SEQ          that exit is durable, or not of interest
//	monitor → keeper   notify TEXT [+ fd]  for the service manager; see systemd_linux.go
//	monitor → keeper   upgrade           execute your new program; I shall execute mine. See execute_unix.go
//	keeper → monitor   executed REASON   done; or why the old program goes on
//
// An exit that is not done is told again to the next monitor.
package keeper

import (
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Program is what a keeper executes. The first of each argv is a path.
type Program struct {
	Monitor []string // argv
	Self    []string // argv of the keeper itself
	Env     []string // added to its environment when it executes itself
	Last    func()   // called before it does; nil: nothing
	Hangup  bool     // it ends when the terminal that it was started at closes
}

type keeper struct {
	program  Program
	stderr   io.Writer
	children chan os.Signal // SIGCHLD
	orders   chan os.Signal // what is passed on

	// What lives through execute.
	held      map[string]int          // descriptors by name
	untold    map[uint64]string       // exit frames that are not done, by sequence number
	seq       uint64                  // of the last exit
	pass      map[syscall.Signal]bool // to be passed on when a monitor is ready
	ending    bool                    // we were told to end: so is every monitor from now on
	pid       int                     // of the monitor; 0: none lives
	socket    int                     // our end of the link; without meaning while pid is 0
	ready     bool                    // the monitor that lives has said that it is ready
	everReady bool                    // some monitor has said so
	born      time.Time
	delay     time.Duration

	terminals []int      // those of our descriptors 0, 1 and 2 that were one
	frames    chan frame // what the monitor sends; closed at its end
	restart   <-chan time.Time
	mute      bool // the service manager could not be told of late, and that was said
}

// Run keeps a monitor alive until one exits in good order (0), or the first
// exits before it was ready: then its exit code, 128+N for signal N, is
// returned. What it has to say goes to stderr, which must not hold it up.
func Run(p Program, stderr io.Writer) int {
	runtime.LockOSThread() // the monitor's death signal is sent at the end of the thread that started it
	if err := becomeSubreaper(); err != nil {
		fmt.Fprintln(stderr, "deputyd: cannot become subreaper:", err)
		return 1
	}
	k := &keeper{program: p, stderr: stderr, children: make(chan os.Signal, 1), orders: make(chan os.Signal, 16),
		held: map[string]int{}, untold: map[uint64]string{}, pass: map[syscall.Signal]bool{}}
	for fd := 0; fd <= 2 && p.Hangup; fd++ {
		if isTerminal(fd) {
			k.terminals = append(k.terminals, fd)
		}
	}
	signal.Notify(k.children, unix.SIGCHLD)
	signal.Notify(k.orders, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGUSR2)
	if !k.resume() {
		k.inherit()
		if err := k.start(); err != nil {
			fmt.Fprintln(stderr, "deputyd: cannot start the monitor:", err)
			return 1
		}
	}
	for {
		if code, over := k.reap(); over {
			return code
		}
		select {
		case f, ok := <-k.frames:
			k.handle(f, ok)
		case sig := <-k.orders:
			k.order(sig.(syscall.Signal))
		case <-k.restart:
			k.restart = nil
			if err := k.start(); err != nil {
				fmt.Fprintln(stderr, "deputyd: cannot start the monitor:", err)
				k.startLater()
			}
		case <-k.children:
		}
	}
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
		return
	case verb == "drop":
		k.drop(name)
	case verb == "hello":
		k.ready = false
		for name, fd := range k.held {
			_ = send(k.socket, "held "+name, fd, 0) // fails only when it died: the next one is given all
		}
		_ = send(k.socket, "end", -1, 0)
	case verb == "ready":
		k.welcome()
	case verb == "done":
		var seq uint64
		_, _ = fmt.Sscan(name, &seq) // of a number that we did not send nothing is deleted
		delete(k.untold, seq)
	case verb == "notify":
		k.relay(name, f.fd)
	case verb == upgrade:
		k.ready = false // signals wait for the new monitor
		if k.pid > 0 {  // it lives, and waits for us
			_ = send(k.socket, "executed "+k.execute().Error(), -1, 0)
		}
		k.listen()
	}
	if f.fd >= 0 {
		unix.Close(f.fd)
	}
}

// welcome tells a monitor that is ready all that waited for one.
func (k *keeper) welcome() {
	k.ready, k.everReady = true, true
	for _, seq := range slices.Sorted(maps.Keys(k.untold)) {
		_ = send(k.socket, k.untold[seq], -1, 0)
	}
	if k.ending { // this monitor, too, has to end: the one before died on the way
		k.pass[unix.SIGTERM] = true
	}
	for sig := range k.pass {
		if k.pid > 0 { // otherwise its "ready" was read after its death, and the signal waits for the next one
			_ = unix.Kill(k.pid, sig)
			delete(k.pass, sig)
		}
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
	if sig == unix.SIGHUP && slices.ContainsFunc(k.terminals, func(fd int) bool { return !isTerminal(fd) }) {
		sig = unix.SIGTERM // it was the terminal's, and nobody is there any more to end us
	}
	if k.pid > 0 && (k.ready || !k.everReady) {
		_ = unix.Kill(k.pid, sig) // our child, not yet reaped: the number is its own
	} else {
		k.pass[sig] = true
	}
	k.ending = k.ending || sig == unix.SIGTERM || sig == unix.SIGINT
}

// isTerminal says whether a descriptor is that of a terminal that is still open.
func isTerminal(fd int) bool {
	_, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	return err == nil
}
