//go:build unix && !linux

// Package discard closes descriptors whose last reference another user may have left to us.
package discard

import "golang.org/x/sys/unix"

// Closer closes at once: what waits elsewhere is not known.
type Closer struct{}

func New() *Closer { return &Closer{} }

func (*Closer) Close(fd int) { _ = unix.Close(fd) }

func (*Closer) End() {}
