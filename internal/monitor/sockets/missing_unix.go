//go:build unix

package sockets

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Where callers are to ask there is a socket of ours, a second later at most: one whose
// path was deleted is made again. One that is there is never replaced.

// missingEvery is the time between two looks at the paths of our sockets.
const missingEvery = time.Second

// deadLooks is how often isDead is asked after a start: later no other can have died there.
const deadLooks = 10

// Watch makes a socket anew whose path somebody has deleted, until ctx ends:
// nobody could reach us any more, and we would not notice. Nobody waits for the
// looks, for the file system may not answer.
func (s *Sockets) Watch(ctx context.Context) {
	tick := time.NewTicker(missingEvery)
	defer tick.Stop()
	for looks := 0; ; looks++ {
		for _, path := range s.paths() {
			if isMissing(path) || looks < deadLooks && path != s.o.Progress && isDead(path) {
				s.listenAgain(path)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// paths are those where there is to be a socket.
func (s *Sockets) paths() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	paths := []string{s.wanted.Path}
	for path := range s.lines {
		paths = append(paths, path)
	}
	if TakesProgress {
		paths = append(paths, s.o.Progress)
	}
	return paths
}

func isMissing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// Leave has no socket made any more that somebody deletes.
func (s *Sockets) Leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = true
}

// listenAgain makes the socket of a path where there is none of ours.
func (s *Sockets) listenAgain(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving {
		return
	}
	var err error
	if path == s.o.Progress {
		err = s.progressAgain()
	} else {
		err = s.callersAgain(path)
	}
	switch {
	case err == nil:
		s.missed[path] = false
		s.o.Log.Printf("the socket %s was deleted, and is made again", path)
	case !s.missed[path]:
		s.missed[path] = true
		s.o.Log.Printf("the socket %s was deleted, and cannot be made again: %v", path, err)
	}
}

// progressAgain makes the socket where tasks tell their progress, and has the next
// server read it. Who is telling something to the old one has nobody to hear it, as
// before.
func (s *Sockets) progressAgain() error {
	f, err := bind(s.o.Progress, unix.SOCK_DGRAM, 0o666, -1)
	if err == nil {
		err = s.keeper.Hold(progressSocket, f)
	}
	if err == nil {
		s.progress.Store(f) // the old one is closed once nobody starts a server with it
		s.o.Renew()
	}
	return err
}

// callersAgain makes a socket on which callers ask.
func (s *Sockets) callersAgain(path string) error {
	old, name := s.lines[path], lineSocket+path
	line := old != nil
	if path == s.wanted.Path && !line {
		old, name = s.listener, callersSocket+path
	}
	if old == nil {
		return nil // a reload has just closed it
	}
	f, err := bind(path, unix.SOCK_STREAM, s.wanted.Mode, s.wanted.GID)
	if err == nil {
		err = s.keeper.Hold(name, f)
	}
	if err == nil {
		err = s.o.Listener.Listen(int(f.Fd()), line)
	}
	if err != nil {
		return err
	}
	s.o.Listener.Ignore(int(old.Fd()))
	old.Close()
	if line {
		s.lines[path] = f
	} else {
		s.listener = f
	}
	return nil
}
