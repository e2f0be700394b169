package monitor

import (
	"errors"
	"syscall"

	"deputy"
	"deputy/internal/monitor/policy"
)

// ErrUpgrade is returned by nobody: no program executes another in its own process.
var ErrUpgrade = errors.New("the monitor is to be upgraded")

// UpgradeSignal is none.
const UpgradeSignal = syscall.Signal(-1)

// PauseSignal and ContinueSignal are orders of the service control manager. Windows
// has no such signals: these numbers go from our keeper to our monitor alone.
const (
	PauseSignal    = syscall.Signal(0x100)
	ContinueSignal = syscall.Signal(0x101)
)

// Prove says that nothing can be taken over.
func Prove(Options, int) error { return errors.New("cannot upgrade in place: not on Windows") }

// Proof says nothing.
func Proof() string { return "" }

func (m *Monitor) upgradeAsked(a asked) {
	a.Reply.Refuse(0, deputy.Refuse(deputy.BadParam, "cannot upgrade in place: not on Windows; deputy service stop, replace the programs, deputy service start: tasks live on"))
}

func (m *Monitor) upgrade(policy.Identity, *deputy.Nonce, func(string, uint64, *deputy.Error)) {}
