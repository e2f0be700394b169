package birth

import (
	"context"
	"slices"
	"sync"
)

// A place is had by one at a time, and is never lost: who gives up after it was given
// hands it on. However many wait for one caller, the next place goes to another's.

// fairly gives places to those who wait for one in turn, caller by caller: however
// many wait for one of them, another waits for one of his at most.
type fairly struct {
	mu      sync.Mutex // guards what follows
	free    int
	waiting map[string][]chan struct{} // each is closed when its place is given
	next    []string                   // who has some waiting, in their turn
}

func newFairly(places int) *fairly {
	return &fairly{free: places, waiting: map[string][]chan struct{}{}}
}

// enter waits for a place; false: giveUp was closed, or ctx has ended, before.
func (f *fairly) enter(ctx context.Context, who string, giveUp <-chan struct{}) bool {
	f.mu.Lock()
	if f.free > 0 { // then nobody waits
		f.free--
		f.mu.Unlock()
		return true
	}
	given := make(chan struct{})
	if len(f.waiting[who]) == 0 {
		f.next = append(f.next, who)
	}
	f.waiting[who] = append(f.waiting[who], given)
	f.mu.Unlock()
	select {
	case <-given:
		return true
	case <-giveUp:
	case <-ctx.Done():
	}
	f.abandon(who, given)
	return false
}

// abandon takes back a wait, or gives the place to the next if it came after all.
func (f *fairly) abandon(who string, given chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	line := f.waiting[who]
	i := slices.Index(line, given)
	if i < 0 {
		f.give()
		return
	}
	if f.waiting[who] = slices.Delete(line, i, i+1); len(f.waiting[who]) == 0 {
		delete(f.waiting, who)
		f.next = slices.DeleteFunc(f.next, func(n string) bool { return n == who })
	}
}

func (f *fairly) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.give()
}

// give hands a place on; mu is held.
func (f *fairly) give() {
	if len(f.next) == 0 {
		f.free++
		return
	}
	who := f.next[0]
	line := f.waiting[who]
	close(line[0])
	f.next = f.next[1:]
	if len(line) == 1 {
		delete(f.waiting, who)
		return
	}
	f.waiting[who] = line[1:]
	f.next = append(f.next, who)
}
