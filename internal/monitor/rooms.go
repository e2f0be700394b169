package monitor

import (
	"context"
	"fmt"
	"sync"
)

// Births under way. Each action has a few places of its own: where what it touches
// does not answer, or its user keeps its processes stopped, its births wait in them,
// and nobody else's do. Those who wait for places get them in turn, caller by caller.
// A place is held until nothing is left to wait for, which
// may be never.
const (
	birthsAtOnce   = 128 // that have not run out of time
	birthsOfAction = 8
)

// rooms hold the places of all actions.
type rooms struct {
	all *fairly

	mu    sync.Mutex // guards what follows
	rooms map[string]*room
}

// room is that of one action.
type room struct {
	name   string
	places *fairly
	users  int           // who hold a place, or wait for one
	late   int           // who hold one beyond their time
	hung   chan struct{} // closed while all who hold one do
}

func newRooms() *rooms {
	return &rooms{all: newFairly(birthsAtOnce), rooms: map[string]*room{}}
}

// enter waits for a place to be born in. It fails where every place of the action is
// held by a birth that hangs, and when ctx ends.
func (r *rooms) enter(ctx context.Context, action, caller string) (*stay, error) {
	r.mu.Lock()
	room := r.rooms[action]
	if room == nil {
		room = newRoom(action)
		r.rooms[action] = room
	}
	room.users++
	hung := room.hung
	r.mu.Unlock()
	s := &stay{rooms: r, room: room}
	if err := s.wait(ctx, caller, hung); err != nil {
		s.forget()
		return nil, err
	}
	return s, nil
}

func newRoom(name string) *room {
	return &room{name: name, places: newFairly(birthsOfAction), hung: make(chan struct{})}
}

// stay is a place in a room.
type stay struct {
	rooms  *rooms
	room   *room
	isLate bool // guarded by rooms.mu
	left   bool // guarded by rooms.mu
}

func (s *stay) wait(ctx context.Context, caller string, hung chan struct{}) error {
	switch {
	case s.room.places.enter(ctx, caller, hung):
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		return fmt.Errorf("%d earlier births of %s have not ended: their directory, files or program lie on a file system that does not answer, or their user keeps them stopped; "+
			"it starts again once they are gone", birthsOfAction, s.room.name)
	}
	if !s.rooms.all.enter(ctx, caller, nil) {
		s.room.places.leave()
		return ctx.Err()
	}
	return nil
}

// late says that the birth has run out of time and is not gone: it counts for its
// own action alone from now on.
func (s *stay) late() {
	s.rooms.mu.Lock()
	defer s.rooms.mu.Unlock()
	if s.left || s.isLate {
		return
	}
	s.isLate = true
	s.rooms.all.leave()
	if s.room.late++; s.room.late == birthsOfAction {
		close(s.room.hung)
	}
}

// leave gives the place back.
func (s *stay) leave() {
	s.rooms.mu.Lock()
	s.left = true
	if !s.isLate {
		s.rooms.all.leave()
	} else if s.room.late--; s.room.late == birthsOfAction-1 {
		s.room.hung = make(chan struct{})
	}
	s.rooms.mu.Unlock()
	s.room.places.leave()
	s.forget()
}

func (s *stay) forget() {
	s.rooms.mu.Lock()
	defer s.rooms.mu.Unlock()
	if s.room.users--; s.room.users == 0 {
		delete(s.rooms.rooms, s.room.name)
	}
}
