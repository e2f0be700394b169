package birth

import (
	"context"
	"fmt"
	"sync"
)

// Births under way. Each action has a few places of its own: where what it touches
// does not answer, or its user keeps its processes stopped, its births wait in them,
// and nobody else's do. Those who wait for places get them in turn, caller by caller.
// A place is held until nothing is left to wait for, which may be never.

const (
	birthsAtOnce   = 128 // that have not run out of time
	birthsOfAction = 8
)

// wards hold the places of all actions.
type wards struct {
	all *fairly

	mu    sync.Mutex // guards what follows
	wards map[string]*ward
}

// ward is that of one action.
type ward struct {
	name   string
	places *fairly
	users  int           // who hold a place, or wait for one
	late   int           // who hold one beyond their time
	hung   chan struct{} // closed while all who hold one do
}

func newWards() *wards {
	return &wards{all: newFairly(birthsAtOnce), wards: map[string]*ward{}}
}

// enter waits for a place to be born in. It fails where every place of the action is
// held by a birth that hangs, and when ctx ends.
func (w *wards) enter(ctx context.Context, action, caller string) (*stay, error) {
	w.mu.Lock()
	of := w.wards[action]
	if of == nil {
		of = newWard(action)
		w.wards[action] = of
	}
	of.users++
	hung := of.hung
	w.mu.Unlock()
	s := &stay{wards: w, ward: of}
	if err := s.wait(ctx, caller, hung); err != nil {
		s.forget()
		return nil, err
	}
	return s, nil
}

func newWard(name string) *ward {
	return &ward{name: name, places: newFairly(birthsOfAction), hung: make(chan struct{})}
}

// stay is a place in a ward.
type stay struct {
	wards  *wards
	ward   *ward
	isLate bool // guarded by wards.mu
	left   bool // guarded by wards.mu
}

func (s *stay) wait(ctx context.Context, caller string, hung chan struct{}) error {
	switch {
	case s.ward.places.enter(ctx, caller, hung):
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		return fmt.Errorf("%d earlier births of %s have not ended: their directory, files or program lie on a file system that does not answer, or their user keeps them stopped; "+
			"it starts again once they are gone", birthsOfAction, s.ward.name)
	}
	if !s.wards.all.enter(ctx, caller, nil) {
		s.ward.places.leave()
		return ctx.Err()
	}
	return nil
}

// late says that the birth has run out of time and is not gone: it counts for its
// own action alone from now on.
func (s *stay) late() {
	s.wards.mu.Lock()
	defer s.wards.mu.Unlock()
	if s.left || s.isLate {
		return
	}
	s.isLate = true
	s.wards.all.leave()
	if s.ward.late++; s.ward.late == birthsOfAction {
		close(s.ward.hung)
	}
}

// leave gives the place back.
func (s *stay) leave() {
	s.wards.mu.Lock()
	s.left = true
	if !s.isLate {
		s.wards.all.leave()
	} else if s.ward.late--; s.ward.late == birthsOfAction-1 {
		s.ward.hung = make(chan struct{})
	}
	s.wards.mu.Unlock()
	s.ward.places.leave()
	s.forget()
}

func (s *stay) forget() {
	s.wards.mu.Lock()
	defer s.wards.mu.Unlock()
	if s.ward.users--; s.ward.users == 0 {
		delete(s.wards.wards, s.ward.name)
	}
}
