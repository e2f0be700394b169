//go:build unix

package sockets

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A socket is made once and outlives us: the keeper holds it, so that nobody is refused
// while a monitor or a server is replaced. What the service manager has opened is used
// as it is.

// Listener accepts connections from listening sockets. It does not close them.
type Listener interface {
	Listen(fd int, line bool) error // line: 'Key: Value' is spoken there
	Ignore(fd int)
}

// What the keeper calls the sockets.
const (
	callersSocket  = "unix:" // and its path
	lineSocket     = "line:" // and its path
	progressSocket = "notify"
)

// Sockets are those on which callers ask and tasks tell their progress. They outlive
// a server, and a monitor, too: the keeper holds them.
type Sockets struct {
	o        Options
	progress atomic.Pointer[os.File]

	mu       sync.Mutex // guards what follows
	wanted   Wanted
	keeper   Keeper
	listener *os.File
	lines    map[string]*os.File // by path
	left     Left
	leaving  bool            // none is made any more that was deleted
	missed   map[string]bool // paths whose socket was deleted, and cannot be made again: that was said
}

// New has none yet.
func New(o Options) *Sockets {
	return &Sockets{o: o, lines: map[string]*os.File{}, missed: map[string]bool{}}
}

// Progress is where tasks tell their progress; the server reads it.
func (s *Sockets) Progress() *os.File { return s.progress.Load() }

// Open makes the sockets, or takes those that are left of an earlier monitor, or that
// the service manager made.
func (s *Sockets) Open(wanted Wanted, left Left, k Keeper) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted, s.keeper = wanted, k
	s.left = Left{Held: maps.Clone(left.Held), Inherited: slices.Clone(left.Inherited)}
	var err error
	if s.listener, err = s.socket(callersSocket+wanted.Path, wanted.Path, unix.SOCK_STREAM, wanted.Mode, wanted.GID); err != nil {
		return err
	}
	if TakesProgress {
		progress, err := s.socket(progressSocket, s.o.Progress, unix.SOCK_DGRAM, 0o666, -1)
		if err != nil {
			return err
		}
		s.progress.Store(progress)
	}
	if err := s.o.Listener.Listen(int(s.listener.Fd()), false); err != nil {
		return err
	}
	s.listenLines()
	return nil
}

// Follow opens and closes what another configuration names and no longer names.
func (s *Sockets) Follow(wanted Wanted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = wanted
	s.listenLines()
}

// listenLines opens the Unix sockets where 'Key: Value' is spoken, and closes those
// that are no longer named. What cannot be opened is said, and the others serve; the
// next reload tries again.
func (s *Sockets) listenLines() {
	named := map[string]bool{}
	for _, path := range s.wanted.Lines {
		if !strings.HasPrefix(path, "/") {
			continue // TCP: the server's
		}
		named[path] = true
		if s.lines[path] != nil {
			continue
		}
		if err := s.listenLine(path); err != nil {
			s.o.Log.Printf("%v; the other sockets serve", err)
		}
	}
	for name, f := range s.left.Held { // by a monitor that had another configuration
		if path, is := strings.CutPrefix(name, lineSocket); is && s.lines[path] == nil {
			s.closeLine(path, f)
		}
	}
	for path, f := range s.lines {
		if !named[path] {
			s.o.Listener.Ignore(int(f.Fd()))
			s.closeLine(path, f)
		}
	}
}

func (s *Sockets) listenLine(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("cannot make %s: %w", filepath.Dir(path), err)
	}
	f, err := s.socket(lineSocket+path, path, unix.SOCK_STREAM, s.wanted.Mode, s.wanted.GID)
	if err != nil {
		return err
	}
	s.lines[path] = f
	return s.o.Listener.Listen(int(f.Fd()), true)
}

func (s *Sockets) closeLine(path string, f *os.File) {
	s.keeper.Drop(lineSocket + path)
	delete(s.left.Held, lineSocket+path)
	delete(s.lines, path)
	f.Close()
	os.Remove(path)
}

// socket takes the socket of a path that is left, or makes one.
func (s *Sockets) socket(name, path string, kind int, mode uint32, gid int) (*os.File, error) {
	if f := s.left.Held[name]; f != nil {
		return f, nil
	}
	if x := s.inherited(path, kind); x != nil {
		return x.File, errors.Join(s.keeper.Hold(name, x.File), s.keeper.Drop(x.Held))
	}
	f, err := bind(path, kind, mode, gid)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	return f, s.keeper.Hold(name, f)
}

// Remove leaves nothing of them.
func (s *Sockets) Remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = true
	os.Remove(s.wanted.Path)
	for path := range s.lines {
		os.Remove(path)
	}
	os.Remove(s.o.Progress)
}
