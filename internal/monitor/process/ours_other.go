//go:build !linux

package process

// Ours says whether a leaf is marked as one of this installation: none is.
func (h *Host) Ours(string) bool { return false }

// Newborn says whether an attempt's first process has not become its program yet: a
// start waits for that.
func (h *Host) Newborn(string) bool { return false }

// NeverBorn is for Linux: here it cannot be told.
func (h *Host) NeverBorn(string) bool { return false }

// Hurry is for Linux: here a first process's end is told as it happens.
func (h *Host) Hurry(string) bool { return false }

// ForkerMain is for Linux.
func ForkerMain() int { return 1 }
