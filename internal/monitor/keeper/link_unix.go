//go:build unix

package keeper

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Link is the monitor's half of the exchange.
type Link struct {
	socket int
	held   map[string]*os.File
	lost   chan struct{}

	mu    sync.Mutex // orders what the monitor did before Ready before each call of exits
	exits func(Exit)
}

// Exit is the end of a process that the keeper has reaped.
type Exit struct {
	PID    int
	Cgroup string // its v2 cgroup, as in /proc/PID/cgroup; "" without cgroup v2
	Status unix.WaitStatus
	seq    uint64
}

// Connect greets the keeper on the inherited descriptor fd and takes what it
// holds. From Ready on, exits is called for each process that the keeper reaps,
// in order, from one goroutine; each must be answered by Done.
func Connect(fd int, exits func(Exit)) (*Link, error) {
	unix.CloseOnExec(fd)
	l := &Link{socket: fd, held: map[string]*os.File{}, lost: make(chan struct{}), exits: exits}
	if err := l.say("hello", -1); err != nil {
		return nil, err
	}
	buf := make([]byte, maxFrame)
	for {
		f, ok := receive(fd, buf)
		if !ok {
			return nil, errors.New("cannot reach the keeper: it has ended")
		}
		if f.text == "end" {
			break
		}
		if name, ok := strings.CutPrefix(f.text, "held "); ok && f.fd >= 0 {
			l.held[name] = os.NewFile(uintptr(f.fd), name)
		}
	}
	go l.receive(buf)
	return l, nil
}

func (l *Link) receive(buf []byte) {
	defer close(l.lost)
	for {
		f, ok := receive(l.socket, buf)
		if !ok {
			return
		}
		if e, err := parseExit(f.text); err == nil {
			l.mu.Lock()
			l.mu.Unlock() //nolint:staticcheck // the keeper answers Ready, but the memory model does not see through it
			l.exits(e)
		}
	}
}

func parseExit(text string) (e Exit, err error) {
	head, cgroups, _ := strings.Cut(text, "\n")
	if _, err = fmt.Sscanf(head, "exit %d %d %d", &e.seq, &e.PID, &e.Status); err != nil {
		return e, err
	}
	for line := range strings.Lines(cgroups) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			e.Cgroup = strings.TrimSuffix(strings.TrimSpace(path), " (deleted)")
		}
	}
	return e, nil
}

func (l *Link) say(text string, fd int) error {
	if err := send(l.socket, text, fd); err != nil {
		return fmt.Errorf("cannot reach the keeper: %w", err)
	}
	return nil
}

// Held gives the sockets that the keeper held for the monitor before this one.
// They are the caller's to close; the keeper keeps its own.
func (l *Link) Held() map[string]*os.File { return l.held }

// Hold lets the keeper hold a copy of f beyond our death, under a name of one
// word. Drop ends that.
func (l *Link) Hold(name string, f *os.File) error { return l.say("hold "+name, int(f.Fd())) }

// Drop lets the keeper close what it holds under name.
func (l *Link) Drop(name string) error { return l.say("drop "+name, -1) }

// Ready tells the keeper that every attempt of the journal is adopted: from now
// on it reaps. A monitor that exits before is taken for one that cannot run.
func (l *Link) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.say("ready", -1)
}

// Done tells the keeper that an exit is durable, or not of interest; otherwise
// the next monitor is told of it again.
func (l *Link) Done(e Exit) error { return l.say(fmt.Sprintf("done %d", e.seq), -1) }

// Lost is closed when the keeper has died. The monitor must then end, so that
// there are never two.
func (l *Link) Lost() <-chan struct{} { return l.lost }
