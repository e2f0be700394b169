package monitor

import (
	"sync"
	"time"

	"deputy"
	"deputy/internal/monitor/manifest"
	"deputy/internal/wall"
)

// turns has callers served in turn: of each one request at a time, whatever the
// others have waiting. So a request waits for one of each other caller at most.
type turns struct {
	mu    sync.Mutex // guards what follows
	some  sync.Cond  // something is in next, or it is over
	lines map[deputy.Caller]*line
	next  []*line // that have a request waiting and none being served, in their turn
	asked budgets
	over  bool
}

// line is what one caller has waiting.
type line struct {
	caller  deputy.Caller
	waiting []turn
	served  bool // one of its requests is being served
}

// turn is one request and the server that sent it.
type turn struct {
	peer *wall.Peer
	r    *wall.Request
	held bool   // it has waited for who asks to be known
	do   func() // instead of r: what else is to be done in this caller's turn, whoever is gone
}

func newTurns() *turns {
	t := &turns{lines: map[deputy.Caller]*line{}, asked: budgets{}}
	t.some.L = &t.mu
	return t
}

// put has a request wait for its caller's turn, or says why not: each is charged
// before anything is made of it, whatever it asks for.
func (t *turns) put(c deputy.Caller, one turn, all manifest.Rate) *deputy.Error {
	t.mu.Lock()
	defer t.mu.Unlock()
	rate := askRate(all)
	if wait := t.asked.take(budget{caller: c}, rate, time.Now()); wait > 0 {
		return comeBack(wait, "cannot serve: %s asks more than %s, of all kinds (10 times [defaults] per_caller.rate, at least 1000/s)", c, rate)
	}
	t.line(c, one)
	return nil
}

// again has a request wait for another turn.
func (t *turns) again(c deputy.Caller, one turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.line(c, one)
}

// line puts a request into its caller's line; mu is held.
func (t *turns) line(c deputy.Caller, one turn) {
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
func (t *turns) take() (*line, turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.next) == 0 && !t.over {
		t.some.Wait()
	}
	if t.over {
		return nil, turn{}
	}
	l := t.next[0]
	t.next = t.next[1:]
	one := l.waiting[0]
	l.waiting, l.served = l.waiting[1:], true
	return l, one
}

// done ends a turn.
func (t *turns) done(l *line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.served = false; len(l.waiting) == 0 {
		delete(t.lines, l.caller)
		return
	}
	t.next = append(t.next, l)
	t.some.Signal()
}

// close ends all waits.
func (t *turns) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	t.some.Broadcast()
}

// servers is how many requests are served at a time, of as many callers. What one
// of them costs holds up nobody as long as the others are cheap.
const servers = 2

// serveTurns serves requests until the monitor ends. It runs beside the loop.
func (m *Monitor) serveTurns() {
	for {
		l, one := m.turns.take()
		if l == nil {
			return
		}
		if one.do != nil {
			one.do()
			m.turns.done(l)
			continue
		}
		one.peer.AwaitRoom()
		if !one.peer.Gone() { // otherwise nobody can be answered
			if err := one.r.Unpack(); err != nil {
				one.peer.Break(err)
			} else if !m.request(one) {
				m.hold(l, one)
			}
		}
		m.turns.done(l)
	}
}

// inLoop has do called by the loop, and returns when that is done, or the loop is
// over. Only other goroutines may use it.
func (m *Monitor) inLoop(do func()) {
	done := make(chan struct{})
	m.post(func() {
		defer close(done)
		do()
	})
	select {
	case <-done:
	case <-m.loop.Over():
	}
}

// patience is how long a request waits for the name services to say whether its
// caller has a name, if it would be refused otherwise.
const patience = 3 * time.Second

// hold gives a request another turn once it is known whether its caller has a name.
// It is not charged again.
func (m *Monitor) hold(l *line, one turn) {
	id, ok := m.reception.Identity(one.r.Connection)
	uid, isUID := id.Caller.UID()
	if !ok || !isUID {
		one.peer.Answer(one.r, 0, wall.Outcome{Error: errGone()})
		return
	}
	one.held = true
	go func() { // as many as requests that wait for an answer, which are bounded
		m.users.Await(uid, patience)
		m.turns.again(l.caller, one)
	}()
}

// depends says whether what was found could be another if groups counted.
func (j *judged) depends(r *wall.Request) bool {
	if j.refusal != nil {
		return j.refusal.Code == deputy.NotAllowed || j.refusal.Code == deputy.UnknownAction
	}
	switch r.Kind {
	case wall.Rights, wall.Actions, wall.Stop, wall.Explain:
		return true
	}
	return false
}
