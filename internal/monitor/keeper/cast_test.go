//go:build linux

package keeper_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"deputy/internal/monitor/keeper"
	"deputy/internal/monitor/process"
)

// TestMain makes the test binary its own cast: with a first argument that
// starts with '@' it plays that part and tests nothing: a part that ran the tests
// would be started by them again.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || !strings.HasPrefix(os.Args[1], "@") {
		os.Exit(m.Run())
	}
	if err := process.CleanSelf(); err != nil {
		panic(err)
	}
	self, _ := os.Executable()
	dir := ""
	if len(os.Args) > 2 {
		dir = os.Args[2]
	}
	switch os.Args[1] {
	case "@keeper":
		os.Exit(keeper.Run(keeper.Program{
			Monitor: []string{self, "@monitor", dir}, Self: []string{self, "@keeper", dir}, Env: []string{process.Cleaned()},
		}, os.Stderr))
	case "@forker":
		os.Exit(process.ForkerMain())
	case "@reaper":
		os.Exit(process.ReaperMain(os.Args[2:]))
	case "@monitor":
		play(dir)
	}
	os.Exit(99)
}

// note is a line of the play's journal, DIR/notes.
type note struct {
	Monitor int // PID
	What    string
	Name    string          // of a leaf or signal
	Attempt process.Attempt // started
	Exit    string          // exited, as JSON
	At      time.Time
}

// monitor is a small one. It journals what happens, and obeys files in its
// directory: "absent" holds it up before it is ready, "fail" ends it before,
// "crash" after; "tell" is told to the service manager; with "upgrade" SIGUSR2
// makes it execute itself anew; "forgetful" never says done; "tasks" is what to start first.
type monitor struct {
	dir  string
	host *process.Host
	link *keeper.Link
	mu   sync.Mutex
}

func (m *monitor) is(file string) bool {
	_, err := os.Stat(filepath.Join(m.dir, file))
	return err == nil
}

func (m *monitor) write(n note) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n.Monitor, n.At = os.Getpid(), time.Now()
	text, _ := json.Marshal(n)
	f, err := os.OpenFile(m.dir+"/notes", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	_, _ = f.Write(append(text, '\n'))
}

func play(dir string) {
	m := &monitor{dir: dir}
	m.write(note{What: "born"})
	for m.is("absent") {
		time.Sleep(time.Millisecond)
	}
	if m.is("fail") {
		os.Exit(42)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGTERM, unix.SIGHUP, unix.SIGUSR2)
	m.begin()
	for {
		select {
		case sig := <-signals:
			m.write(note{What: "signal", Name: unix.SignalName(sig.(unix.Signal))})
			if sig == unix.SIGUSR2 && m.is("upgrade") {
				m.upgrade()
			}
			if sig == unix.SIGTERM {
				if err := m.host.Close(false); err != nil {
					panic(err)
				}
				os.Exit(0)
			}
		case <-m.link.Lost():
			m.write(note{What: "lost"})
			_ = m.host.Close(true)
			os.Exit(3)
		}
	}
}

// upgrade executes keeper and monitor anew.
func (m *monitor) upgrade() {
	if err := m.link.Upgrade(); err != nil {
		panic(err)
	}
	if err := m.host.Close(true); err != nil {
		panic(err)
	}
	panic(m.link.Execute(os.Args, os.Environ()))
}

// instance is as unique as the test's directory: DIR is …/TestName123456/001.
func instance(dir string) string { return filepath.Base(filepath.Dir(dir)) }

func (m *monitor) begin() {
	self, _ := os.Executable()
	var err error
	if m.link, err = keeper.Connect(3, m.told); err != nil {
		panic(err)
	}
	m.host, err = process.Open(process.Options{Instance: instance(m.dir), Forker: []string{self, "@forker"}, Reaper: []string{self, "@reaper"},
		StateDir: m.dir, KeeperPID: os.Getppid(), Events: m.event})
	if err != nil {
		panic(err)
	}
	m.listen()
	m.adopt()
	m.manager()
	if err := m.link.Ready(); err != nil {
		panic(err)
	}
	m.write(note{What: "ready"})
	if m.is("crash") {
		os.Exit(4)
	}
	text, _ := os.ReadFile(m.dir + "/tasks")
	_ = os.Remove(m.dir + "/tasks")
	for line := range strings.Lines(string(text)) {
		leaf, script, _ := strings.Cut(strings.TrimSpace(line), " ")
		a, err := m.host.Start(context.Background(), process.Spec{Leaf: leaf, Argv: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: m.dir})
		if err != nil {
			panic(err)
		}
		m.write(note{What: "started", Name: leaf, Attempt: a})
	}
}

// manager notes what the service manager passed on, and tells it.
func (m *monitor) manager() {
	for _, x := range m.link.Inherited() {
		text := make([]byte, 100)
		n, _ := x.File.ReadAt(text, 0)
		m.write(note{What: "inherited", Name: x.Name + " " + string(text[:n])})
		if strings.HasPrefix(x.Name, "drop") {
			if err := m.link.Drop(x.Held); err != nil {
				panic(err)
			}
		}
	}
	for _, each := range os.Environ() {
		if strings.HasPrefix(each, "LISTEN_") || strings.HasPrefix(each, "DEPUTY_") {
			m.write(note{What: "environment", Name: each})
		}
	}
	if f, err := os.Open(m.dir + "/tell"); err == nil {
		if err := m.link.Notify("READY=1\nSTATUS=of the play", f); err != nil {
			panic(err)
		}
	}
}

// listen answers each connection with its own PID, on a socket that outlives it.
func (m *monitor) listen() {
	f := m.link.Held()["door"]
	if f == nil {
		l, err := net.Listen("unix", m.dir+"/door")
		if err != nil {
			panic(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		if f, err = l.(*net.UnixListener).File(); err != nil {
			panic(err)
		}
		if err := m.link.Hold("door", f); err != nil {
			panic(err)
		}
	}
	l, err := net.FileListener(f)
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, os.Getpid())
			_ = c.Close()
		}
	}()
}

// adopt takes up every attempt that was started and has not ended.
func (m *monitor) adopt() {
	ended := map[string]bool{}
	notes := readNotes(m.dir)
	for _, n := range notes {
		if n.What == "exited" && !m.is("amnesia") {
			ended[n.Name] = true
		}
	}
	for _, n := range notes {
		if n.What == "started" && !ended[n.Name] {
			if err := m.host.Adopt(n.Attempt); err != nil {
				panic(err)
			}
			m.write(note{What: "adopted", Name: n.Name})
		}
	}
}

func (m *monitor) told(e keeper.Exit) {
	m.host.ForeignExit(e.PID, e.Cgroup, e.Status)
	if m.is("forgetful") {
		return
	}
	if err := m.link.Done(e); err != nil {
		m.write(note{What: "error", Name: err.Error()})
	}
}

func (m *monitor) event(e process.Event) {
	if e.Kind == process.Empty {
		m.write(note{What: "empty", Name: e.Leaf})
		m.host.Release(e.Leaf)
		return
	}
	exit, _ := json.Marshal(e.Exit)
	m.write(note{What: "exited", Name: e.Leaf, Exit: string(exit)})
	go func() { _, _ = m.host.Kill(e.Leaf) }()
}

func readNotes(dir string) (notes []note) {
	text, _ := os.ReadFile(dir + "/notes")
	for line := range strings.Lines(string(text)) {
		var n note
		if json.Unmarshal([]byte(line), &n) == nil {
			notes = append(notes, n)
		}
	}
	return notes
}
