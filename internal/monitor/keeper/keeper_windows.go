package keeper

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Program is what a keeper executes.
type Program struct {
	Monitor []string // argv
	Self    []string // argv of the keeper itself
	Env     []string // added to its environment when it executes itself
}

// Inherited is a handle that a service manager gave to the keeper: none does.
type Inherited struct {
	Name string
	Held string
	File *os.File
}

// Run keeps a monitor alive.
func Run(p Program, stderr io.Writer) int {
	fmt.Fprintln(stderr, "deputyd: cannot keep a monitor: not on Windows yet")
	return 1
}

// Link is the monitor's half of the exchange.
type Link struct{ lost chan struct{} }

// Exit is the end of a process that the keeper has seen.
type Exit struct {
	PID    int
	Cgroup string // the job's name, with a "/" before it
	Status uint32 // its exit code
}

// Connect greets the keeper.
func Connect(int, func(Exit)) (*Link, error) {
	return nil, errors.New("cannot reach the keeper: not on Windows yet")
}

// Held gives the handles that the keeper held for the monitor before this one.
func (l *Link) Held() map[string]*os.File { return nil }

// Inherited gives what a service manager started the keeper with.
func (l *Link) Inherited() []Inherited { return nil }

// Hold lets the keeper hold a copy of f beyond our death.
func (l *Link) Hold(string, *os.File) error { return nil }

// Execute is for systems where a process can execute another program.
func (l *Link) Execute([]string, []string) error {
	return errors.New("cannot upgrade in place: not on Windows")
}

// Ready tells the keeper that every attempt of the journal is adopted.
func (l *Link) Ready() error { return nil }

// Done tells the keeper that an exit is durable, or not of interest.
func (l *Link) Done(Exit) error { return nil }

// Lost is closed when the keeper has died.
func (l *Link) Lost() <-chan struct{} { return l.lost }
