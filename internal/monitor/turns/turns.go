// Package turns has callers served in turn: of each caller one request at a time,
// whatever the others have waiting, each charged before anything is made of it. So
// whatever one caller asks for, a request waits for one of each other caller at most.
package turns

import (
	"sync"
	"time"

	"deputy"
	"deputy/internal/monitor/manifest"
)

// Turns are those of all callers.
type Turns struct {
	mu    sync.Mutex // guards what follows
	some  sync.Cond  // something is in next, or it is over
	lines map[deputy.Caller]*line
	next  []*line // that have a request waiting and none being served, in their turn
	asked Budgets
	over  bool
}

// line is what one caller has waiting.
type line struct {
	caller  deputy.Caller
	waiting []Turn
	served  bool // one of its requests is being served
}

// Turn is what is done in a caller's turn.
type Turn func()

// New has nobody waiting.
func New() *Turns {
	t := &Turns{lines: map[deputy.Caller]*line{}, asked: Budgets{}}
	t.some.L = &t.mu
	return t
}

// Put has a request wait for its caller's turn, or says why not: each is charged
// before anything is made of it, whatever it asks for.
func (t *Turns) Put(c deputy.Caller, one Turn, all manifest.Rate) *deputy.Error {
	t.mu.Lock()
	defer t.mu.Unlock()
	rate := askRate(all)
	if wait := t.asked.Take(Budget{Caller: c}, rate, time.Now()); wait > 0 {
		return ComeBack(wait, "cannot serve: %s asks more than %s, of all kinds (10 times [defaults] per_caller.rate, at least 1000/s)", c, rate)
	}
	t.line(c, one)
	return nil
}

// Again has a request wait for another turn.
func (t *Turns) Again(c deputy.Caller, one Turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.line(c, one)
}

// line puts a request into its caller's line; mu is held.
func (t *Turns) line(c deputy.Caller, one Turn) {
	l := t.lines[c]
	if l == nil {
		l = &line{caller: c}
		t.lines[c] = l
	}
	l.waiting = append(l.waiting, one)
	if len(l.waiting) == 1 && !l.served {
		t.next = append(t.next, l)
		t.some.Signal()
	}
}

// askRate is how often a caller may ask for anything: a call takes several
// requests of the server, and looking on more.
func askRate(calls manifest.Rate) manifest.Rate {
	if 10*float64(calls.Number)/calls.Span.Seconds() < 1000 {
		return manifest.Rate{Number: 1000, Span: time.Second}
	}
	return manifest.Rate{Number: 10 * calls.Number, Span: calls.Span}
}

// take waits for the next turn; nil: there is none any more. Its line is given
// back with done.
func (t *Turns) take() (*line, Turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.next) == 0 && !t.over {
		t.some.Wait()
	}
	if t.over {
		return nil, nil
	}
	l := t.next[0]
	t.next = t.next[1:]
	one := l.waiting[0]
	l.waiting, l.served = l.waiting[1:], true
	return l, one
}

// done ends a turn.
func (t *Turns) done(l *line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.served = false; len(l.waiting) == 0 {
		delete(t.lines, l.caller)
		return
	}
	t.next = append(t.next, l)
	t.some.Signal()
}

// Close ends all waits.
func (t *Turns) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	t.some.Broadcast()
}

// servers is how many turns are served at a time, of as many callers. What one
// of them costs holds up nobody as long as the others are cheap.
const servers = 2

// Start serves turns until Close is called.
func (t *Turns) Start() {
	for range servers {
		go t.serve()
	}
}

func (t *Turns) serve() {
	for {
		l, one := t.take()
		if l == nil {
			return
		}
		one()
		t.done(l)
	}
}
