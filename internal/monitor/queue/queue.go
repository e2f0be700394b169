// Package queue says who is next: of those who wait for a place in a queue, by priority,
// in turn between callers, and in the order in which they came. It is pure: it knows no
// task and no clock, and what it is told is all that it knows.
//
// At no time are more than Parallel in their places, whatever is asked; and whoever
// waits long enough goes before any priority, at most every second time.
package queue

import (
	"cmp"
	"slices"
	"time"
)

// Fair is between whom turns are taken.
type Fair string

const (
	ByCaller  Fair = "caller"   // callers in turn
	ByEndUser Fair = "end_user" // callers in turn, and of each caller its end users
	ByNone    Fair = "none"     // whoever came first
)

// Rules are those of one queue, as declared.
type Rules struct {
	Parallel      int
	Fair          Fair
	OvertakeAfter time.Duration // who has waited so long goes before all priorities
}

// Entry is one that waits, or has a place.
type Entry struct {
	ID       string
	Priority int    // higher first
	Caller   string // whose turn it takes
	EndUser  string // and of that caller's
	Seq      uint64 // in the order of which they came
	Since    int64  // when it came, ns of any clock
}

// Line is one queue. It belongs to one goroutine.
type Line struct {
	Rules  Rules
	Paused bool // nobody who waits is given a place

	placed  map[string]bool
	waiting []*Entry             // by Seq
	turn    uint64               // how many turns were taken
	callers map[string]uint64    // the last turn of each caller who waits
	users   map[[2]string]uint64 // the same of its end users
	jumped  bool                 // the last who was given a place had waited too long
}

// New has nobody in it.
func New(r Rules) *Line {
	return &Line{Rules: r, placed: map[string]bool{}, callers: map[string]uint64{}, users: map[[2]string]uint64{}}
}

// Wait puts one behind the others; it has no place any more.
func (l *Line) Wait(e Entry) {
	delete(l.placed, e.ID)
	at, found := slices.BinarySearchFunc(l.waiting, &e, bySeq)
	if found && l.waiting[at].ID == e.ID {
		return
	}
	l.waiting = slices.Insert(l.waiting, at, &e)
}

func bySeq(a, b *Entry) int { return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.ID, b.ID)) }

// Place gives one a place whether it has waited or not, and whether there is one free or
// not: for what runs already.
func (l *Line) Place(id string) {
	l.unwait(id)
	l.placed[id] = true
}

// Leave takes one out that has its place, or waits.
func (l *Line) Leave(id string) {
	delete(l.placed, id)
	l.unwait(id)
}

func (l *Line) unwait(id string) {
	if i := l.index(id); i >= 0 {
		e := l.waiting[i]
		l.waiting = slices.Delete(l.waiting, i, i+1)
		l.forget(e)
	}
}

func (l *Line) index(id string) int {
	return slices.IndexFunc(l.waiting, func(e *Entry) bool { return e.ID == id })
}

// forget drops the turns of who has nobody waiting any more.
func (l *Line) forget(e *Entry) {
	caller, user := false, false
	for _, w := range l.waiting {
		caller = caller || w.Caller == e.Caller
		user = user || w.Caller == e.Caller && w.EndUser == e.EndUser
	}
	if !caller {
		delete(l.callers, e.Caller)
	}
	if !user {
		delete(l.users, [2]string{e.Caller, e.EndUser})
	}
}

// Has says whether one has a place.
func (l *Line) Has(id string) bool { return l.placed[id] }

// Free says whether one who came now would be given a place at once.
func (l *Line) Free() bool {
	return !l.Paused && len(l.waiting) == 0 && len(l.placed) < l.Rules.Parallel
}

// Placed and Waiting are how many have a place, or wait for one.
func (l *Line) Placed() int  { return len(l.placed) }
func (l *Line) Waiting() int { return len(l.waiting) }

// Empty says whether nobody is in it.
func (l *Line) Empty() bool { return len(l.placed)+len(l.waiting) == 0 }

// Next gives a place to who is next of those who may begin at all, and says who that is;
// "": nobody is, or there is no place. now is on the clock of Since.
func (l *Line) Next(now int64, may func(id string) bool) (id string) {
	if l.Paused || len(l.placed) >= l.Rules.Parallel {
		return ""
	}
	able := slices.DeleteFunc(slices.Clone(l.waiting), func(e *Entry) bool { return !may(e.ID) })
	e, jumps := l.choose(able, now)
	if e == nil {
		return ""
	}
	l.take(e, jumps)
	l.waiting = slices.DeleteFunc(l.waiting, func(w *Entry) bool { return w == e })
	l.forget(e)
	l.placed[e.ID] = true
	return e.ID
}

// take notes whose turn it was.
func (l *Line) take(e *Entry, jumps bool) {
	l.turn++
	l.callers[e.Caller], l.users[[2]string{e.Caller, e.EndUser}] = l.turn, l.turn
	l.jumped = jumps
}

// choose gives who is next of those who are able, in the order of Seq; jumps: it has
// waited so long that it goes before all priorities.
func (l *Line) choose(able []*Entry, now int64) (best *Entry, jumps bool) {
	if len(able) == 0 {
		return nil, false
	}
	if first := able[0]; !l.jumped && l.Rules.OvertakeAfter > 0 && now-first.Since >= int64(l.Rules.OvertakeAfter) {
		return first, true
	}
	for _, e := range able {
		if best == nil || l.before(e, best) {
			best = e
		}
	}
	return best, false
}

// before says whether one goes before another.
func (l *Line) before(a, b *Entry) bool {
	order := cmp.Compare(b.Priority, a.Priority)
	if order == 0 && l.Rules.Fair != ByNone {
		order = cmp.Compare(l.callers[a.Caller], l.callers[b.Caller])
		if order == 0 && l.Rules.Fair == ByEndUser && a.Caller == b.Caller {
			order = cmp.Compare(l.users[[2]string{a.Caller, a.EndUser}], l.users[[2]string{b.Caller, b.EndUser}])
		}
	}
	return cmp.Or(order, bySeq(a, b)) < 0
}

// Standing is who of a line would begin before whom: a copy, which anybody may have.
type Standing struct {
	try   Line
	heads [][]*Entry // those who may begin, of each whose turns are the same, by Seq
	now   int64
}

// Standing is that of the line as it stands now.
func (l *Line) Standing(now int64, may func(id string) bool) *Standing {
	s := &Standing{try: Line{Rules: l.Rules, turn: l.turn, jumped: l.jumped, callers: cloned(l.callers), users: cloned(l.users)}, now: now}
	at := map[Entry]int{}
	for _, e := range l.waiting {
		if !may(e.ID) {
			continue
		}
		alike := Entry{Priority: e.Priority, Caller: e.Caller, EndUser: e.EndUser}
		i, known := at[alike]
		if !known {
			i, at[alike] = len(s.heads), len(s.heads)
			s.heads = append(s.heads, nil)
		}
		s.heads[i] = append(s.heads[i], e)
	}
	return s
}

// Positions says of each how many would begin before it. It is called once.
func (s *Standing) Positions() map[string]int {
	positions := map[string]int{}
	able := make([]*Entry, 0, len(s.heads))
	for {
		able = able[:0]
		for _, alike := range s.heads {
			able = append(able, alike[0])
		}
		for i := range able { // who came first stands first; beyond that choose needs no order
			if bySeq(able[i], able[0]) < 0 {
				able[0], able[i] = able[i], able[0]
			}
		}
		e, jumps := s.try.choose(able, s.now)
		if e == nil {
			return positions
		}
		positions[e.ID] = len(positions)
		s.try.take(e, jumps)
		i := slices.IndexFunc(s.heads, func(alike []*Entry) bool { return alike[0] == e })
		if s.heads[i] = s.heads[i][1:]; len(s.heads[i]) == 0 {
			s.heads = slices.Delete(s.heads, i, i+1)
		}
	}
}

func cloned[K comparable](m map[K]uint64) map[K]uint64 {
	c := make(map[K]uint64, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}
