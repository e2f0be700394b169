//go:build unix

package keeper

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Link is the monitor's half of the exchange.
type Link struct {
	socket    int
	held      map[string]*os.File
	again     bool // a monitor before this one had the keeper hold something
	inherited []Inherited
	executed  chan string // why the keeper could not execute its new program; "": it has
	lost      chan struct{}
	saying    sync.Mutex // on a stream a frame goes whole

	ready chan struct{} // closed by Ready: what the monitor did before it happens before each call of exits
	once  sync.Once     // closes it
	exits func(Exit)
}

// Exit is the end of a process that the keeper has reaped.
type Exit struct {
	PID    int
	Cgroup string // its v2 cgroup, as in /proc/PID/cgroup; "" without cgroup v2
	Status unix.WaitStatus
	seq    uint64
}

// inheritedName is what a descriptor that we were started with is held as, with
// its place and the name that the service manager gave it.
const inheritedName = "inherited "

// Inherited is a descriptor that the service manager gave to the keeper.
type Inherited struct {
	Name string // that the manager gave it
	Held string // by which the keeper holds it, for Drop
	File *os.File
}

// Connect greets the keeper on the inherited descriptor fd and takes what it
// holds. From Ready on, exits is called for each process that the keeper reaps,
// in order, from one goroutine; each must be answered by Done.
func Connect(fd int, exits func(Exit)) (*Link, error) {
	unix.CloseOnExec(fd)
	l := &Link{socket: fd, held: map[string]*os.File{}, executed: make(chan string, 1), lost: make(chan struct{}), ready: make(chan struct{}), exits: exits}
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
			l.take(name, os.NewFile(uintptr(f.fd), name))
		}
	}
	l.again = len(l.held) > 0
	go l.receive(buf)
	return l, nil
}

func (l *Link) take(name string, f *os.File) {
	given, is := strings.CutPrefix(name, inheritedName)
	if !is {
		l.held[name] = f
		return
	}
	_, given, _ = strings.Cut(given, " ") // without its place
	l.inherited = append(l.inherited, Inherited{Name: given, Held: name, File: f})
}

func (l *Link) receive(buf []byte) {
	defer close(l.lost)
	for {
		f, ok := receive(l.socket, buf)
		if !ok {
			return
		}
		if reason, ok := strings.CutPrefix(f.text, "executed "); ok {
			l.executed <- reason
		}
		if e, err := parseExit(f.text); err == nil {
			<-l.ready // the keeper tells of no exit before it was told Ready, but only this shows it to the memory model
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
	l.saying.Lock()
	defer l.saying.Unlock()
	if err := send(l.socket, text, fd, 0); err != nil {
		return fmt.Errorf("cannot reach the keeper: %w", err)
	}
	return nil
}

// Held gives the descriptors that the keeper held for the monitor before this one.
// They are the caller's to close; the keeper keeps its own.
func (l *Link) Held() map[string]*os.File { return l.held }

// Again says whether there was a monitor before this one under the same keeper.
func (l *Link) Again() bool { return l.again }

// Inherited gives what the service manager started the keeper with. The keeper
// holds it, for the next monitor too, until it is dropped.
func (l *Link) Inherited() []Inherited { return slices.Clone(l.inherited) }

// Hold lets the keeper hold a copy of f beyond our death, under a name of one
// word. Drop ends that.
func (l *Link) Hold(name string, f *os.File) error { return l.say("hold "+name, int(f.Fd())) }

// Drop lets the keeper close what it holds under name. It is for the goroutine that
// calls Inherited.
func (l *Link) Drop(name string) error {
	l.inherited = slices.DeleteFunc(l.inherited, func(x Inherited) bool { return x.Held == name })
	return l.say("drop "+name, -1)
}

// Ready tells the keeper that every attempt of the journal is adopted: from now
// on it reaps. A monitor that exits before is taken for one that cannot run.
func (l *Link) Ready() error {
	l.once.Do(func() { close(l.ready) })
	return l.say("ready", -1)
}

// Done tells the keeper that an exit is durable, or not of interest; otherwise
// the next monitor is told of it again.
func (l *Link) Done(e Exit) error { return l.say(fmt.Sprintf("done %d", e.seq), -1) }

// Lost is closed when the keeper has died. The monitor must then end, so that
// there are never two.
func (l *Link) Lost() <-chan struct{} { return l.lost }

// Notify has the keeper pass text, lines of sd_notify(3), and the descriptor of
// f, if it is not nil, to the service manager. It never waits: a keeper that
// hears nothing loses it.
func (l *Link) Notify(text string, f *os.File) error {
	fd := -1
	if f != nil {
		fd = int(f.Fd())
	}
	if err := send(l.socket, "notify "+text, fd, unix.MSG_DONTWAIT); err != nil {
		return fmt.Errorf("cannot reach the keeper: %w", err)
	}
	return nil
}

// Upgrade has the keeper execute the program that now stands at its path. From
// then on it holds signals back, and reaps nobody, until a monitor is ready: the
// caller is to Execute. An error says why the keeper goes on as it was.
func (l *Link) Upgrade() error {
	if err := l.say(upgrade, -1); err != nil {
		return err
	}
	select {
	case reason := <-l.executed:
		if reason != "" {
			return errors.New(reason)
		}
		return nil
	case <-l.lost:
		return errors.New("cannot reach the keeper: it has ended")
	}
}

// Execute executes argv in this process, with the link as the descriptor that
// Connect took. It returns only where that failed.
func (l *Link) Execute(argv, env []string) error {
	_, _ = unix.FcntlInt(uintptr(l.socket), unix.F_SETFD, 0) // fails for no open descriptor
	return fmt.Errorf("cannot execute %s: %w", argv[0], unix.Exec(argv[0], argv, env))
}
