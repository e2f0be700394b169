// Package keeper keeps the monitor alive. The keeper reads no configuration and
// parses nothing but the lines of its own monitor. It holds a second handle of
// each task's job and first process, so that neither is forgotten while no
// monitor lives: the next one finds the jobs by their names, and reads the exit
// codes itself.
//
// The exchange, over one pipe, one line a message:
//
//	monitor → keeper   hello
//	keeper → monitor   held LEAF PID BOOTNS        each that it holds
//	keeper → monitor   again                       another monitor was ready before
//	keeper → monitor   end
//	monitor → keeper   hold LEAF PID BOOTNS HANDLE…   handles that it made in the keeper
//	monitor → keeper   drop LEAF
//	monitor → keeper   ready
//	keeper → monitor   order NUMBER                a signal's: TERM ends it, HUP has it read its configuration; others are the service manager's
package keeper

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/windows"

	"deputy/internal/pipe"
)

// linkEnv tells a monitor its end of the pipe and the keeper's process.
const linkEnv = "DEPUTY_LINK"

// held is what is kept of one attempt.
type held struct {
	text    string // LEAF PID BOOTNS
	handles []windows.Handle
}

type keeper struct {
	argv    []string
	stderr  io.Writer
	onReady func()
	held    map[string]held // by leaf
	pass    []syscall.Signal
	ending  bool // we were told to end: so is every monitor from now on

	monitor   *os.Process
	link      *os.File
	lines     chan string // what the monitor says; closed at its end
	ended     chan *os.ProcessState
	ready     bool // the monitor that lives has said that it is ready
	everReady bool // some monitor has said so
	born      time.Time
	delay     time.Duration
	restart   <-chan time.Time
}

// Run keeps a monitor alive until one exits in good order (0), or the first
// exits before it was ready: then its exit code is returned. What it has to say
// goes to stderr. Ctrl-C and Ctrl-Break end it.
func Run(argv []string, stderr io.Writer) int {
	interrupts, orders := make(chan os.Signal, 4), make(chan syscall.Signal, 4)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	go func() {
		for range interrupts {
			orders <- syscall.SIGTERM
		}
	}()
	return Serve(argv, stderr, orders, func() {})
}

// Serve is Run under orders of the caller's: SIGTERM, SIGHUP, and what it alone knows. It calls ready
// once, when the first monitor is.
func Serve(argv []string, stderr io.Writer, orders <-chan syscall.Signal, ready func()) int {
	k := &keeper{argv: argv, stderr: stderr, onReady: ready, held: map[string]held{}}
	if err := k.take(); err != nil {
		fmt.Fprintln(stderr, "deputyd: cannot take up what was held of tasks:", err)
	}
	if err := k.start(); err != nil {
		fmt.Fprintln(stderr, "deputyd: cannot start the monitor:", err)
		return 1
	}
	for {
		select {
		case line, ok := <-k.lines:
			k.handle(line, ok)
		case sig := <-orders:
			k.order(sig)
		case state := <-k.ended:
			if code, over := k.monitorEnded(state); over {
				if err := k.leave(); err != nil {
					fmt.Fprintln(stderr, "deputyd: cannot leave what is held of tasks; what ends meanwhile is unknown:", err)
				}
				return code
			}
		case <-k.restart:
			k.restart = nil
			if err := k.start(); err != nil {
				fmt.Fprintln(stderr, "deputyd: cannot start the monitor:", err)
				k.startLater()
			}
		}
	}
}

// start starts a monitor in a process group of its own: a Ctrl-C reaches it
// once, through us.
func (k *keeper) start() error {
	ours, theirs, err := pipe.Pair()
	if err != nil {
		return err
	}
	defer windows.CloseHandle(theirs)
	var self windows.Handle // by which the monitor gives us handles, and sees our end
	own := windows.CurrentProcess()
	if err = windows.DuplicateHandle(own, own, own, &self, windows.PROCESS_DUP_HANDLE|windows.SYNCHRONIZE, true, 0); err != nil {
		ours.Close()
		return err
	}
	defer windows.CloseHandle(self)
	k.monitor, err = os.StartProcess(k.argv[0], k.argv, &os.ProcAttr{
		Env:   append(os.Environ(), fmt.Sprintf("%s=%d %d", linkEnv, theirs, self)),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys: &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP,
			AdditionalInheritedHandles: []syscall.Handle{syscall.Handle(theirs), syscall.Handle(self)}},
	})
	if err != nil {
		ours.Close()
		return err
	}
	k.link, k.born, k.ready = ours, time.Now(), false
	k.lines, k.ended = make(chan string), make(chan *os.ProcessState, 1)
	go listen(ours, k.lines)
	go func(p *os.Process, ended chan<- *os.ProcessState) {
		state, _ := p.Wait() // nil: it cannot be told how
		ended <- state
	}(k.monitor, k.ended)
	return nil
}

func listen(link io.Reader, lines chan<- string) {
	defer close(lines)
	for in := bufio.NewScanner(link); in.Scan(); {
		lines <- in.Text()
	}
}

// handle does what the monitor says.
func (k *keeper) handle(line string, ok bool) {
	if !ok {
		k.lines = nil // its end of the pipe is closed; its death follows
		return
	}
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "hello":
		for _, leaf := range slices.Sorted(maps.Keys(k.held)) {
			k.say("held " + k.held[leaf].text)
		}
		if k.everReady {
			k.say("again")
		}
		k.say("end")
	case "hold":
		k.hold(strings.Fields(rest))
	case "drop":
		k.drop(rest)
	case "ready":
		if !k.everReady {
			k.onReady()
		}
		k.ready, k.everReady = true, true
		if k.ending { // this monitor, too, has to end: the one before died on the way
			k.pass = append(k.pass, syscall.SIGTERM)
		}
		for _, sig := range k.pass {
			k.say(fmt.Sprint("order ", int(sig)))
		}
		k.pass = nil
	}
}

func (k *keeper) hold(fields []string) {
	if len(fields) < 3 {
		return
	}
	h := held{text: strings.Join(fields[:3], " ")}
	for _, field := range fields[3:] {
		if n, err := strconv.ParseUint(field, 10, 64); err == nil {
			h.handles = append(h.handles, windows.Handle(n))
		}
	}
	k.drop(fields[0])
	k.held[fields[0]] = h
}

func (k *keeper) drop(leaf string) {
	for _, h := range k.held[leaf].handles {
		_ = windows.CloseHandle(h)
	}
	delete(k.held, leaf)
}

// say fails only when the monitor died: the next one is told all.
func (k *keeper) say(line string) { _, _ = io.WriteString(k.link, line+"\n") }

// order passes a signal on. One that comes while no monitor is ready waits for it.
func (k *keeper) order(sig syscall.Signal) {
	k.ending = k.ending || sig == syscall.SIGTERM
	switch {
	case k.ready:
		k.say(fmt.Sprint("order ", int(sig)))
	case !k.everReady && sig == syscall.SIGTERM:
		_ = k.monitor.Kill() // it has begun nothing yet
	case !k.ending:
		k.pass = append(k.pass, sig)
	}
}

func (k *keeper) monitorEnded(state *os.ProcessState) (code int, over bool) {
	for k.lines != nil { // what it said last counts
		line, ok := <-k.lines
		k.handle(line, ok)
	}
	k.link.Close()
	code = 1
	if state != nil {
		code = state.ExitCode()
	}
	if !k.everReady || k.ready && code == 0 {
		return code, true
	}
	k.ready, k.ended = false, nil
	if time.Since(k.born) >= longLife {
		k.delay = 0
	}
	fmt.Fprintf(k.stderr, "deputyd: the monitor ended (exit code %d); starting it again in %v; tasks live on\n", code, k.delay)
	k.startLater()
	return 0, false
}

func (k *keeper) startLater() {
	k.restart = time.After(k.delay)
	k.delay = min(max(2*k.delay, firstDelay), lastDelay)
}

// errNoKeeper says that a monitor was started by nobody who keeps it.
var errNoKeeper = errors.New("cannot reach the keeper: a monitor is started by it alone")
