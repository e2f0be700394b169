//go:build !linux

package monitor

// takesProgress says whether the kernel tells which process sent a datagram.
const takesProgress = false

// notifySocket is none: a task has nobody to tell its progress to.
func (m *Monitor) notifySocket() string { return "" }
