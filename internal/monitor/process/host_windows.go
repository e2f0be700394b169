package process

import (
	"errors"
	"syscall"

	"deputy"
)

// Host owns all live attempts.
type Host struct{}

// Open begins to watch.
func Open(Options) (*Host, error) { return nil, errors.New("cannot run tasks: not on Windows yet") }

// Proof names what the end of a tree rests on.
func (h *Host) Proof() string { return "" }

// Weakness says why the promise is weaker than it could be.
func (h *Host) Weakness() string { return "" }

// TasksPath is for cgroups.
func (h *Host) TasksPath() string { return "" }

// Leaves lists the leaves that exist, for recovery.
func (h *Host) Leaves() ([]string, error) { return nil, nil }

// Start begins an attempt.
func (h *Host) Start(Spec) (Attempt, error) { return Attempt{}, ErrNotStarted }

// Adopt watches an attempt of a monitor before us again.
func (h *Host) Adopt(Attempt) error { return ErrGone }

// FindFirst finds the first process of an attempt.
func (h *Host) FindFirst(string) (Attempt, bool) { return Attempt{}, false }

// ForeignExit takes what the keeper told.
func (h *Host) ForeignExit(pid int, leaf string, status uint32) {}

// Signal asks every process of the leaf to end.
func (h *Host) Signal(string, syscall.Signal) error { return ErrGone }

// Kill kills all that lives in the leaf.
func (h *Host) Kill(string) (int, error) { return 0, nil }

// Survivors lists what lives in the leaf.
func (h *Host) Survivors(string) []deputy.Survivor { return nil }

// Release gives the leaf back.
func (h *Host) Release(string) {}

// Close ends the watch.
func (h *Host) Close(bool) error { return nil }

// CleanSelf undoes what this process inherited by accident.
func CleanSelf() error { return nil }

// ReaperMain is for Linux.
func ReaperMain([]string) int { return 2 }

// Cleaned is of no use here: no program executes another in its own process.
func Cleaned() string { return "DEPUTY_CLEAN=" }
