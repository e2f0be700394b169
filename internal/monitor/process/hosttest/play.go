package hosttest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy/internal/monitor/process"
)

// A test program that is to play a part has one of these as its first argument, and the part as
// its second.
const (
	playFirst = "@first"
	playOther = "@other"
)

// Play plays a part if this process was started for one, and does not return then. TestMain
// of a package with a Troupe calls it first.
func Play() {
	if len(os.Args) < 3 || os.Args[1] != playFirst && os.Args[1] != playOther {
		return
	}
	var p Part
	if err := json.Unmarshal([]byte(os.Args[2]), &p); err != nil {
		fail(err)
	}
	if p.Deaf {
		signal.Ignore(syscall.SIGTERM)
	}
	if p.Others > 0 { // each starts the next, and waits until that is ready
		startOther(Part{Others: p.Others - 1, Deaf: p.Deaf, Lives: p.Lives})
	}
	fmt.Println("ready")
	switch {
	case os.Args[1] == playOther && p.Lives > 0:
		time.Sleep(p.Lives)
		os.Exit(0)
	case os.Args[1] == playFirst && !p.Stays():
		exit(p.Exit)
	}
	for {
		time.Sleep(time.Hour)
	}
}

func startOther(p Part) {
	c := command(playOther, p)
	c.Stderr = os.Stderr
	hide(c)
	said, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err == nil {
		_, err = said.Read(make([]byte, 1))
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(99)
}

func command(as string, p Part) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return exec.Command(self, as, string(text))
}

// Troupe plays parts by this test program, which says "ready" on its output. It is a Machine
// with real processes, but for its Open.
type Troupe struct {
	t   *testing.T
	dir string
}

// NewTroupe makes one for a sentence.
func NewTroupe(t *testing.T) *Troupe {
	return &Troupe{t: t, dir: t.TempDir()}
}

// Spec is of this program, playing a part.
func (c *Troupe) Spec(leaf string, p Part) process.Spec {
	c.t.Helper()
	out, err := os.OpenFile(c.path(leaf), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = out.Close() })
	return process.Spec{Leaf: leaf, Argv: command(playFirst, p).Args, Env: os.Environ(), Stdout: out, Stderr: out}
}

// Ready is what the first process has said.
func (c *Troupe) Ready(leaf string) bool {
	c.t.Helper()
	said, err := os.ReadFile(c.path(leaf))
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.Contains(string(said), "ready")
}

// Lives asks the system.
func (c *Troupe) Lives(_ string, pid int) bool { return lives(pid) }

func (c *Troupe) path(leaf string) string { return filepath.Join(c.dir, leaf+".out") }
