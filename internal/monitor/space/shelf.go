package space

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"deputy"
	"deputy/internal/uuid7"
)

// What is on the shelf is charged to one owner, once, and an owner's outputs lie in the
// order of their ends. The sums are those of the parts, so that whose goes next is known
// without a look at the disk.

// shelf is the output that is kept of tasks that have ended, each charged to the
// caller who asked for it: where there is too much, that of who has the most
// goes, and of that the oldest.
type shelf struct {
	mu     sync.Mutex
	owners map[deputy.Caller]*owner
	all    charge
}

// charge is what something takes on the disk.
type charge struct {
	bytes  int64
	inodes int64
}

// owner is a caller's part of the shelf.
type owner struct {
	charge
	kept []keptOutput // by id, and a UUIDv7's order is that of its time
}

// keptOutput is that of one task.
type keptOutput struct {
	id    string
	size  charge
	until time.Time // when it is too old; zero: as [storage] says
}

func (a *charge) add(b charge)      { a.bytes, a.inodes = a.bytes+b.bytes, a.inodes+b.inodes }
func (a *charge) subtract(b charge) { a.bytes, a.inodes = a.bytes-b.bytes, a.inodes-b.inodes }

func byID(k keptOutput, id string) int { return cmp.Compare(k.id, id) }

// put charges an output to its owner, unless it is there already.
func (s *shelf) put(who deputy.Caller, k keptOutput) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owners == nil {
		s.owners = map[deputy.Caller]*owner{}
	}
	o := s.owners[who]
	if o == nil {
		o = new(owner)
		s.owners[who] = o
	}
	at, found := slices.BinarySearchFunc(o.kept, k.id, byID)
	if found {
		return
	}
	o.kept = slices.Insert(o.kept, at, k)
	o.add(k.size)
	s.all.add(k.size)
}

// take forgets an output that was removed.
func (s *shelf) take(who deputy.Caller, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.owners[who]
	if o == nil {
		return
	}
	at, found := slices.BinarySearchFunc(o.kept, id, byID)
	if !found {
		return
	}
	o.subtract(o.kept[at].size)
	s.all.subtract(o.kept[at].size)
	if at == 0 {
		o.kept = o.kept[1:] // the usual case: no copy of the rest
	} else {
		o.kept = slices.Delete(o.kept, at, at+1)
	}
	if len(o.kept) == 0 {
		delete(s.owners, who)
	}
}

// total is what all of it takes.
func (s *shelf) total() charge {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// victim is what goes next, if anything must.
type victim struct {
	who   deputy.Caller
	kept  keptOutput
	above bool // its owner has more than the others have on average
}

// next gives the oldest output of the owner who has the most, of those who are
// not spared. Who that is follows from inodes where those are short.
func (s *shelf) next(inodes bool, spared map[deputy.Caller]bool) (v victim, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	part := func(c charge) int64 {
		if inodes {
			return c.inodes
		}
		return c.bytes
	}
	most := int64(-1)
	for who, o := range s.owners {
		has := part(o.charge)
		if !spared[who] && (has > most || has == most && who < v.who) {
			v, most, ok = victim{who: who, kept: o.kept[0]}, has, true
		}
	}
	v.above = most*int64(len(s.owners)) > part(s.all)
	return v, ok
}

// tooOld lists what has been kept for longer than it should be, keep being how
// long that is where nothing else was declared; 0: for ever.
func (s *shelf) tooOld(now time.Time, keep time.Duration) map[deputy.Caller][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := map[deputy.Caller][]string{}
	for who, o := range s.owners {
		for _, k := range o.kept {
			if k.isOld(now, keep) {
				old[who] = append(old[who], k.id)
			}
		}
	}
	return old
}

func (k keptOutput) isOld(now time.Time, keep time.Duration) bool {
	if !k.until.IsZero() {
		return now.After(k.until)
	}
	made, ok := uuid7.Time(k.id)
	return ok && keep > 0 && now.Sub(made) > keep
}
