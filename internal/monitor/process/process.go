// Package process is the birth, watch and death of a task's process tree.
//
// With a writable cgroup v2 hierarchy each attempt is born in a fresh leaf
// cgroup of its own, P/tasks/LEAF, and dies by cgroup.kill: nothing that the
// task forks can be outside. Without one, a subreaper process stands above each
// task and kills its descendants until none is left; that promise is weaker,
// and Host.Weakness says why and what helps. On macOS and FreeBSD a task is the
// processes of one session, on Windows those of one Job Object.
//
// No attempt costs a goroutine or thread; a living one costs one descriptor,
// its pidfd.
package process

import (
	"errors"
	"os"
	"strings"
	"time"

	"deputy"
)

// The proofs that a receipt can rest on.
const (
	ProofCgroup    = "cgroup"
	ProofSubreaper = "subreaper"
	ProofJob       = "job"   // Windows' Job Object
	ProofGroup     = "group" // macOS, FreeBSD
)

// Why a start failed, for errors.Is. After any of them nothing was left behind.
var (
	ErrNotFound      = errors.New("not found")
	ErrNotExecutable = errors.New("not executable")
	ErrNotStarted    = errors.New("not started") // no process, memory, descriptor or directory to be had
)

// BornWithin is how long a first process may take to become its program: to reach
// its directory, its files and its program. Where it takes longer they lie on a file
// system that does not answer, or its user keeps it stopped.
const BornWithin = 10 * time.Second

// ErrNotExecuted says that a first process was born and has not become its program
// in time: it lives, and is to be watched and killed like any other.
var ErrNotExecuted = errors.New("its process was born, and did not become its program in time: " +
	"its directory, a file or its program lies on a file system that does not answer, or its user keeps it stopped")

// ErrGone says that nothing of an attempt lives.
var ErrGone = errors.New("no process of it lives")

// Spec is one attempt, as it is to be started.
type Spec struct {
	Leaf           string   // name of its cgroup, one path element, never used twice: "TASKID.1"
	Argv           []string // Argv[0] is the absolute path of the program
	Env            []string // whole: nothing is added
	Dir            string
	Credential     *Credential // nil: as deputyd
	Stdin          *os.File    // nil: /dev/null
	Input          File        // instead of Stdin, if not zero
	Files          []File      // become descriptors 3, 4, …
	Stdout, Stderr *os.File
	Linger         time.Duration // of what outlives the first process, where a subreaper sees to that; with cgroups that is the caller's to do
	Gone           func()        // called once, when nothing of the birth is waited for any more; may be nil
}

func (s *Spec) gone() {
	if s.Gone != nil {
		s.Gone()
	}
}

// File is one that is opened to be read by the task's user, once the process has
// become that: a regular file, beneath a directory, by no link and across no mount.
type File struct {
	Under string // an absolute path; no part of it may be a link
	Path  string // as the task names it; if absolute, beneath Under
}

func (s *Spec) dir() string {
	if s.Dir == "" {
		return "/"
	}
	return s.Dir
}

// Attempt is what finds a started attempt again after a restart of the monitor
// within the same boot.
type Attempt struct {
	Leaf   string
	PID    int   // of its first process; of the subreaper where there is one
	BootNS int64 // CLOCK_BOOTTIME in ns at most startSlack before the birth of PID
}

// Kind says what an Event tells.
type Kind int

const (
	Exited Kind = iota + 1 // the first process ended
	Empty                  // nothing in the leaf lives
)

// Event tells of an attempt. Each attempt has exactly one of each kind, in any
// order, unless it is released before.
type Event struct {
	Leaf     string
	Kind     Kind
	Exit     deputy.Exit // Exited: exact, or Unknown with its cause
	Leftover int         // Exited: processes that the subreaper found left over and killed; with cgroups that is the caller's to do
}

// Options is what a Host needs to know.
type Options struct {
	Instance      string              // stable id of this installation: names P where our own cgroup is the root
	Forker        []string            // argv of a program that calls ForkerMain, and does so before anything else
	Reaper        []string            // argv of a program that calls ReaperMain; the leaf's name is appended
	StateDir      string              // where subreapers leave their findings
	Events        func(Event)         // called from the Host's one goroutine, so it must not wait for an event
	KeeperPID     int                 // moves with us; 0: none
	Kept          map[string]*os.File // by leaf: pidfds of first processes that outlived the monitor and keeper before us
	Holder        Holder              // Windows; nil: nobody holds anything beyond our death
	Held          []Attempt           // Windows: what the Holder held when we began
	ForceFallback bool
}

// Holder keeps handles of an attempt open beyond the monitor's death, so that
// the next one finds its job and its exit code. It is the keeper, on Windows.
type Holder interface {
	Keep(a Attempt, handles ...uintptr) error
	Forget(leaf string) error
}

func checkLeaf(leaf string) error {
	if leaf == "" || leaf[0] == '.' || strings.ContainsAny(leaf, "/\n ") {
		return errors.New("cannot use " + leaf + " as a leaf: not a plain file name")
	}
	return nil
}
