package sockets

import (
	"context"
	"os"
)

// Listener accepts connections from a pipe, whose instances it makes itself.
type Listener interface {
	Listen(path string) error
}

// Sockets are none: the pipe on which local callers ask is the listener's, and
// nothing of it outlives a monitor.
type Sockets struct{ o Options }

// New has none yet.
func New(o Options) *Sockets { return &Sockets{o} }

// Open opens the pipe.
func (s *Sockets) Open(wanted Wanted, _ Left, _ Keeper) error {
	return s.o.Listener.Listen(wanted.Path)
}

// Follow has nothing to do: 'Key: Value' is spoken on TCP alone, and that is the
// server's.
func (s *Sockets) Follow(Wanted) {}

// CloseOthers has nothing to do: the service control manager passes nothing on.
func (s *Sockets) CloseOthers() {}

// Watch has nothing to do: nobody can delete a pipe's name.
func (s *Sockets) Watch(context.Context) {}

// Leave has nothing to do, either.
func (s *Sockets) Leave() {}

// Remove has nothing to do: the pipe goes with its last instance.
func (s *Sockets) Remove() {}

// Progress is none here: a task has nobody to tell its progress to.
func (s *Sockets) Progress() *os.File { return nil }
