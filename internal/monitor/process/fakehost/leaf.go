package fakehost

import (
	"time"

	"deputy"
	"deputy/internal/monitor/process"
)

// leaf is one attempt as the machine knows it. World.mu guards it.
type leaf struct {
	world     *World
	name      string
	instance  string
	tree      Tree
	linger    time.Duration
	first     *running // nil: not born
	attempt   process.Attempt
	newborn   bool // the first process has not become its program
	failed    error
	settled   chan struct{} // closed when it has, cannot, or has ended before
	gone      func()        // told then; nil: whoever waits for the birth sees to it
	processes []*running

	child  bool        // of the monitor; false: it has died since
	ended  bool        // the first process has
	exit   deputy.Exit // and how
	buried bool        // and nobody knows it
	killed bool        // nothing more is born in it

	left    int         // that a subreaper killed after the end of the first
	ordered bool        // the subreaper was ordered to kill: it counts no more
	hurried bool        // its time to linger is over
	lingers *time.Timer // nil: nobody does yet
}

// running is one process.
type running struct {
	script Process
	pid    int
	state  string // "S", "D"; "": it has ended
	dying  bool
	timers []*time.Timer
}

func (p *running) stop() {
	p.state = ""
	for _, t := range p.timers {
		if t != nil {
			t.Stop()
		}
	}
}

// birth carries out the order of a start.
func (l *leaf) birth() {
	l.world.after(l.tree.Birth.Takes, func() {
		if l.killed {
			return // a leaf that is gone, or was killed, takes nobody
		}
		if l.world.proof == process.ProofSubreaper {
			l.world.pid++ // the subreaper's own, by which the attempt is known
			l.attempt.PID = l.world.pid
		}
		l.first = l.spawn(l.tree.First)
		l.newborn = true
		if l.attempt.PID == 0 {
			l.attempt.PID = l.first.pid
		}
		l.world.after(l.tree.Birth.Exec, l.executes)
	})
}

// executes has the first process become its program, or fail to.
func (l *leaf) executes() {
	if l.first.state == "" {
		return
	}
	switch {
	case l.tree.Birth.Fails == nil:
		l.newborn = false
		l.settle()
		for _, script := range l.tree.Others {
			l.world.after(script.Born, func() {
				if !l.killed && l.living() > 0 { // or nobody is there to start it
					l.live(l.spawn(script))
				}
			})
		}
		l.live(l.first)
	case l.waited():
		l.failed = l.tree.Birth.Fails
		l.first.stop()
		l.world.forget(l)
		l.settle()
	default: // as its maker ends it
		l.end(l.first, deputy.Exit{Code: new(126)})
	}
}

// waited says whether a Start still waits for the birth.
func (l *leaf) waited() bool { return l.gone == nil && l.settled != nil }

// settle ends all waiting for the birth.
func (l *leaf) settle() {
	if l.settled != nil {
		close(l.settled)
		l.settled = nil
	}
	if l.gone != nil {
		go l.gone() // it may ask the world
		l.gone = nil
	}
}

func (l *leaf) spawn(script Process) *running {
	l.world.pid++
	p := &running{script: script, pid: l.world.pid, state: "S"}
	l.processes = append(l.processes, p)
	return p
}

// live lets a process end by itself.
func (l *leaf) live(p *running) {
	l.later(p, p.script.Lives, p.script.exit())
}

func (l *leaf) later(p *running, d time.Duration, exit deputy.Exit) {
	p.timers = append(p.timers, l.world.after(d, func() {
		if p.state != "" {
			l.end(p, exit)
		}
	}))
}

// end is the end of a process, of which whoever watches is told.
func (l *leaf) end(p *running, exit deputy.Exit) {
	l.ending(p, exit)
	l.changed()
}

func (l *leaf) ending(p *running, exit deputy.Exit) {
	p.stop()
	if p != l.first {
		return
	}
	l.newborn, l.ended, l.exit = false, true, exit
	l.settle()
	if !l.child {
		l.world.reaped = append(l.world.reaped, l.reapedAs())
	}
}

// changed has the subreaper, and whoever watches, look at a leaf.
func (l *leaf) changed() {
	if l.world.proof == process.ProofSubreaper {
		l.reap()
	}
	if h := l.world.host; h != nil {
		if a := h.attempts[l.name]; a != nil {
			h.look(a)
		}
	}
}

// reap is what a subreaper does: what outlives the first process may linger, and
// is then killed and counted.
func (l *leaf) reap() {
	if !l.ended || l.living() == 0 || l.ordered {
		return
	}
	if l.hurried {
		l.left += l.kill()
		return
	}
	if l.lingers == nil {
		l.lingers = l.world.after(l.linger, l.hurry)
	}
}

func (l *leaf) hurry() {
	if !l.hurried {
		l.hurried = true
		l.changed()
	}
}
