// Package manager is what the service manager hears of deputy, and what it keeps for
// it (sd_notify(3), sd_watchdog_enabled(3)). It listens to the keeper alone, which
// relays what the monitor says. What it does not hear costs a task nothing.
//
// Only the monitor's loop uses a Manager.
package manager

import (
	"fmt"
	"os"
	"strings"
	"time"

	"deputy/internal/monitor/clock"
)

// Settings say what the service manager wants to hear.
type Settings struct {
	Listens  bool
	Watchdog time.Duration // it takes us for hung after such a silence; 0: never
	Store    int           // how many descriptors it keeps for us, at most
}

// Link reaches the keeper.
type Link interface {
	Notify(text string, f *os.File) error // passes lines and a descriptor, which may be nil, on to the service manager
	Hold(name string, f *os.File) error   // has the keeper hold a descriptor, too
	Drop(name string) error               // ends that
}

// Host knows the processes of tasks.
type Host interface {
	Pidfd(leaf string) (*os.File, error) // a new descriptor of the first process of a leaf
	Orphan(leaf string) bool             // says whether that process is no longer a child of ours
}

// Manager talks to the service manager.
type Manager struct {
	set    Settings
	timers *clock.Timers
	link   Link // nil until Connect
	host   Host
	stored map[string]bool   // leaves whose pidfds the service manager keeps, or may keep
	heldAs map[string]string // by leaf: as what the keeper holds a pidfd
}

// New makes one that says nothing before Connect.
func New(s Settings, timers *clock.Timers) *Manager {
	return &Manager{set: s, timers: timers, stored: map[string]bool{}, heldAs: map[string]string{}}
}

// Connect has it talk over link of the tasks of host.
func (m *Manager) Connect(link Link, host Host) { m.link, m.host = link, host }

// tell says lines of sd_notify(3).
func (m *Manager) tell(lines ...string) { m.tellWith(nil, lines...) }

func (m *Manager) tellWith(f *os.File, lines ...string) {
	if m.set.Listens {
		_ = m.link.Notify(strings.Join(lines, "\n"), f) // a dead keeper is told of by its Lost
	}
}

// Serving says that requests are answered.
func (m *Manager) Serving() { m.tell("READY=1", "STATUS=requests are answered") }

// Reloading begins what Serving ends.
func (m *Manager) Reloading() {
	m.tell("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", monotonic().Microseconds()))
}

// Stopping says that we end.
func (m *Manager) Stopping() { m.tell("STOPPING=1") }

// Status says in a line how we are.
func (m *Manager) Status(text string) { m.tell("STATUS=" + text) }

// Alive feeds the watchdog from now on. The loop itself does it, so that a hung one
// is seen.
func (m *Manager) Alive() {
	if every := m.set.Watchdog / 2; every > 0 {
		m.tell("WATCHDOG=1")
		m.timers.After(every, m.Alive)
	}
}

// unstore has it drop what it keeps of a leaf.
func (m *Manager) unstore(leaf string) { m.tell("FDSTOREREMOVE=1", "FDNAME="+leaf) }
