package keeper

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/windows"

	"deputy/internal/monitor/process"
)

// Link is the monitor's half of the exchange. It is the process.Holder.
type Link struct {
	pipe   *os.File
	keeper windows.Handle // its process: to give it handles, and to see its end
	kept   []process.Attempt
	again  bool // a monitor before this one was ready
	orders chan os.Signal
	lost   chan struct{}

	mu sync.Mutex // orders what is said
}

// Exit is for systems where the keeper takes exit codes: here none is ever told.
type Exit struct {
	PID    int
	Cgroup string
	Status syscall.WaitStatus
}

// Connect greets the keeper over the pipe that it left us and takes what it holds.
func Connect(int, func(Exit)) (*Link, error) {
	var theirs, keeper uintptr
	if _, err := fmt.Sscan(os.Getenv(linkEnv), &theirs, &keeper); err != nil {
		return nil, errNoKeeper
	}
	if err := os.Unsetenv(linkEnv); err != nil {
		return nil, err
	}
	for _, h := range []uintptr{theirs, keeper} {
		_ = windows.SetHandleInformation(windows.Handle(h), windows.HANDLE_FLAG_INHERIT, 0) // a child has a list of what it inherits anyway
	}
	l := &Link{pipe: os.NewFile(theirs, "link"), keeper: windows.Handle(keeper), orders: make(chan os.Signal, 4), lost: make(chan struct{})}
	if err := l.say("hello"); err != nil {
		return nil, err
	}
	in := bufio.NewScanner(l.pipe)
	for {
		if !in.Scan() {
			return nil, errNoKeeper
		}
		if in.Text() == "end" {
			break
		}
		l.again = l.again || in.Text() == "again"
		var a process.Attempt
		if _, err := fmt.Sscanf(in.Text(), "held %s %d %d", &a.Leaf, &a.PID, &a.BootNS); err == nil {
			l.kept = append(l.kept, a)
		}
	}
	go l.receive(in)
	go l.watch()
	return l, nil
}

// receive takes orders until the pipe ends.
func (l *Link) receive(in *bufio.Scanner) {
	for in.Scan() {
		var number int
		if _, err := fmt.Sscanf(in.Text(), "order %d", &number); err == nil {
			l.orders <- syscall.Signal(number)
		}
	}
}

// watch sees the keeper's end by its process: a pipe may be held open by others.
func (l *Link) watch() {
	defer close(l.lost)
	_, _ = windows.WaitForSingleObject(l.keeper, windows.INFINITE) // an error is an end, too: then we must not go on
}

func (l *Link) say(line string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := io.WriteString(l.pipe, line+"\n"); err != nil {
		return fmt.Errorf("cannot reach the keeper: %w", err)
	}
	return nil
}

// Kept are the attempts of which the keeper held handles for the monitor before
// this one.
func (l *Link) Kept() []process.Attempt { return l.kept }

// Held is for systems where the keeper holds sockets and files.
func (l *Link) Held() map[string]*os.File { return nil }

// Again says whether there was a monitor before this one under the same keeper.
func (l *Link) Again() bool { return l.again }

// Inherited is for systems whose service manager passes on what it kept.
type Inherited struct {
	Name, Held string
	File       *os.File
}

// Inherited is nothing: the service control manager keeps nothing.
func (l *Link) Inherited() []Inherited { return nil }

// Hold is for systems where a lock lives on in a descriptor: here it ends with
// the process that has it.
func (l *Link) Hold(string, *os.File) error { return nil }

// Drop is for systems where the keeper holds files.
func (l *Link) Drop(string) error { return nil }

// Notify is for systems whose service manager listens to the keeper.
func (l *Link) Notify(string, *os.File) error { return nil }

// Keep gives the keeper handles of its own, which live beyond our death until
// Forget. It is on its way to the keeper when Keep returns: a pipe keeps what its
// writer wrote before it died.
func (l *Link) Keep(a process.Attempt, handles ...uintptr) error {
	line := strings.Builder{}
	fmt.Fprintf(&line, "hold %s %d %d", a.Leaf, a.PID, a.BootNS)
	for _, h := range handles {
		var theirs windows.Handle
		if err := windows.DuplicateHandle(windows.CurrentProcess(), windows.Handle(h), l.keeper, &theirs, 0, false, windows.DUPLICATE_SAME_ACCESS); err != nil {
			return fmt.Errorf("cannot give the keeper a handle: %w", err)
		}
		fmt.Fprintf(&line, " %d", theirs)
	}
	return l.say(line.String())
}

// Forget lets the keeper close what it holds of a leaf.
func (l *Link) Forget(leaf string) error { return l.say("drop " + leaf) }

// Orders are what the keeper was told: SIGTERM ends the monitor, SIGHUP has it
// read its configuration again.
func (l *Link) Orders() <-chan os.Signal { return l.orders }

// Ready tells the keeper that the monitor serves. One that exits before is taken
// for one that cannot run.
func (l *Link) Ready() error { return l.say("ready") }

// Done is for systems where the keeper takes exit codes.
func (l *Link) Done(Exit) error { return nil }

// Lost is closed when the keeper has died. The monitor must then end, so that
// there are never two.
func (l *Link) Lost() <-chan struct{} { return l.lost }
