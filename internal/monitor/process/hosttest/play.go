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

// playArg is the first argument of a test program that is to play a part; the second is the part.
const playArg = "@play"

// Play plays a part if this process was started for one, and does not return then. TestMain
// of a package with a Troupe calls it first.
func Play() {
	if len(os.Args) < 3 || os.Args[1] != playArg {
		return
	}
	var p Part
	if err := json.Unmarshal([]byte(os.Args[2]), &p); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(99)
	}
	if p.Deaf {
		signal.Ignore(syscall.SIGTERM)
	}
	for range p.Others {
		other := Part{Exit: stays, Deaf: p.Deaf}
		if p.Lives > 0 {
			other.Lives = p.Lives
		}
		c := command(other)
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		if err := c.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(99)
		}
	}
	fmt.Println("ready")
	switch {
	case !p.Stays():
		exit(p.Exit)
	case p.Others == 0 && p.Lives > 0:
		time.Sleep(p.Lives)
		os.Exit(0)
	}
	for {
		time.Sleep(time.Hour)
	}
}

func command(p Part) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return exec.Command(self, playArg, string(text))
}

// Troupe plays parts by this test program, which says "ready" on its output. It makes the
// Spec and Ready of a Machine with real processes.
type Troupe struct {
	t     *testing.T
	dir   string
	parts map[string]Part
}

// NewTroupe makes one for a sentence.
func NewTroupe(t *testing.T) *Troupe {
	return &Troupe{t: t, dir: t.TempDir(), parts: map[string]Part{}}
}

// Spec is of this program, playing a part.
func (c *Troupe) Spec(leaf string, p Part) process.Spec {
	c.t.Helper()
	out, err := os.OpenFile(c.path(leaf), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = out.Close() })
	c.parts[leaf] = p
	return process.Spec{Leaf: leaf, Argv: command(p).Args, Env: os.Environ(), Stdout: out, Stderr: out}
}

// Ready counts those that have said so.
func (c *Troupe) Ready(leaf string) bool {
	c.t.Helper()
	said, err := os.ReadFile(c.path(leaf))
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.Count(string(said), "ready") == 1+c.parts[leaf].Others
}

func (c *Troupe) path(leaf string) string { return filepath.Join(c.dir, leaf+".out") }
