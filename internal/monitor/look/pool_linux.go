package look

import (
	"fmt"
	"sync"
	"time"
)

const (
	perAsker   = 2  // lookers at the same time for one who asks
	maxBusy    = 16 // and for all
	maxLost    = 8  // that were killed and do not die; then whoever would need another is refused at once
	keptIdle   = 10 * time.Second
	keptSilent = 5 * time.Second // for so long nobody asks where there was no answer
	maxKnown   = 8192
)

// Pool is of lookers. They are started as they are needed, and end when nobody
// has asked for a while.
type Pool struct {
	argv []string

	mu      sync.Mutex
	idle    []*looker
	tidying *time.Timer          // of the idle ones; nil: there are none
	busy    map[string]int       // by who asks
	freed   chan struct{}        // closed when one more may ask
	silent  map[string]time.Time // where there was no answer, and until when that is believed
	memory  map[ID]string        // where a link leads, and how a file begins
	dying   []dying
	closed  bool
}

// NewPool makes lookers by argv, of a program that calls Main; without it there
// are none, see Open.
func NewPool(argv []string) *Pool {
	if len(argv) == 0 {
		return nil
	}
	return &Pool{argv: argv, busy: map[string]int{}, freed: make(chan struct{}), silent: map[string]time.Time{}, memory: map[ID]string{}}
}

// ask has a looker answer. One that ended by itself is replaced once.
func (p *Pool) ask(who string, want Want) (Sight, error) {
	if err := p.enter(who); err != nil {
		return Sight{}, fmt.Errorf("cannot check %s: %w", want.Path, err)
	}
	defer p.leave(who)
	for {
		l, fresh, err := p.take()
		if err != nil {
			return Sight{}, fmt.Errorf("cannot check %s: %w", want.Path, err)
		}
		answer, about, err := l.ask(p.question(want))
		switch {
		case err == nil && answer.Silent == "":
			p.put(l)
			p.learn(want, answer.Sight)
			return answer.Sight, nil
		case err == nil:
			p.put(l)
			return Sight{}, &SilentError{want.Path, answer.Silent}
		case isTimeout(err):
			p.discard(l, true, about)
			p.distrust(about.path)
			return Sight{}, &SilentError{want.Path, about.path}
		}
		p.discard(l, false, place{})
		if fresh {
			return Sight{}, fmt.Errorf("cannot check %s: its looker ended: %w", want.Path, err)
		}
	}
}

// enter waits until one more may ask, as long as an answer may take.
func (p *Pool) enter(who string) error {
	late := time.NewTimer(Patience)
	defer late.Stop()
	for {
		p.mu.Lock()
		total := 0
		for _, n := range p.busy {
			total += n
		}
		freed, may := p.freed, p.busy[who] < perAsker && total < maxBusy
		if may {
			p.busy[who]++
		}
		p.mu.Unlock()
		if may {
			return nil
		}
		select {
		case <-freed:
		case <-late.C:
			return fmt.Errorf("%d checks have no answer yet; see which file systems hang: findmnt", total)
		}
	}
}

func (p *Pool) leave(who string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy[who]--; p.busy[who] == 0 {
		delete(p.busy, who)
	}
	close(p.freed)
	p.freed = make(chan struct{})
}

// take gives a looker that is idle, or a fresh one.
func (p *Pool) take() (l *looker, fresh bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		l, p.idle = p.idle[n-1], p.idle[:n-1]
		return l, false, nil
	}
	if lost := p.lost(); lost >= maxLost || p.closed {
		return nil, false, fmt.Errorf("%d earlier checks still wait for file systems that do not answer; see which ones hang: findmnt", lost)
	}
	l, err = startLooker(p.argv)
	return l, true, err
}

// put keeps a looker for the next who asks, for a while.
func (p *Pool) put(l *looker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.idle = time.Now()
	p.idle = append(p.idle, l)
	if p.tidying == nil {
		p.tidying = time.AfterFunc(keptIdle, p.tidy)
	}
}

// tidy ends lookers that were idle for long.
func (p *Pool) tidy() {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, kept := time.Now().Add(-keptIdle), p.idle[:0]
	for _, l := range p.idle {
		if !p.closed && l.idle.After(before) {
			kept = append(kept, l)
		} else {
			p.end(l, false, place{})
		}
	}
	p.idle = kept
	if p.tidying = nil; len(kept) > 0 {
		p.tidying = time.AfterFunc(keptIdle, p.tidy)
	}
}

// Close ends all lookers but those that cannot die.
func (p *Pool) Close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.tidy()
	p.await()
}

// distrust notes where there was no answer.
func (p *Pool) distrust(at string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at != "" {
		p.silent[at] = time.Now().Add(keptSilent)
	}
}

// question says what is wanted, and where there is no answer to be had.
func (p *Pool) question(want Want) question {
	p.mu.Lock()
	defer p.mu.Unlock()
	all, devices := p.stuck()
	for at, until := range p.silent {
		if time.Now().After(until) {
			delete(p.silent, at)
		} else {
			all = append(all, at)
		}
	}
	return question{want, all, devices}
}

// learn remembers what cached cannot see: both can change only together with
// the ID.
func (p *Pool) learn(want Want, s Sight) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.memory) > maxKnown {
		clear(p.memory)
	}
	for _, step := range s.Steps {
		if step.IsLink() {
			p.memory[step.ID] = step.Link
		}
	}
	if end := s.End(); end != nil && want.Head == Script && end.Regular() {
		p.memory[end.ID] = string(s.Head)
	}
}

func (p *Pool) known(id ID) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text, ok := p.memory[id]
	return text, ok
}
