package reception

import (
	"container/heap"
	"time"

	"deputy"
)

// A flood of one user's connections costs nobody else a turn. What is remembered of a
// user is bounded, and is forgotten once it has rested.

// pace spreads the connections of each user: so many at once, and then one each
// while. Of those that come faster a few wait for their turn, which delays
// nobody else; the others are turned away at once, before they have cost more
// than asking the kernel whose they are.
type pace struct {
	ahead map[deputy.Caller]time.Time
	late  parked
}

const (
	paceMin  = 1000 // how many connections a second one user may make at least
	paceMany = 1024 // users that are remembered before some are forgotten
)

// paceOf is the pause between two connections of one user, who may ask so often.
func paceOf(number int, span time.Duration) time.Duration {
	return min(time.Second/paceMin, span/time.Duration(10*number))
}

// next says when one more connection of a user has its turn, where pause lies
// between two, and burst may come at once and as many wait; the past stands for at
// once. false: it has come too early even to wait.
func (p *pace) next(c deputy.Caller, now time.Time, pause time.Duration, burst int) (due time.Time, ok bool) {
	slack := time.Duration(burst) * pause
	due, known := p.ahead[c]
	if !known {
		p.forget(now.Add(-slack))
	}
	if due.Before(now.Add(-slack)) {
		due = now.Add(-slack)
	}
	if due.After(now.Add(slack)) {
		return due, false
	}
	p.ahead[c] = due.Add(pause)
	return due, true
}

// forget drops users who have rested: there is nothing to remember of them.
func (p *pace) forget(rested time.Time) {
	if len(p.ahead) < paceMany {
		return
	}
	for caller, ahead := range p.ahead {
		if ahead.Before(rested) {
			delete(p.ahead, caller)
		}
	}
}

// park has a connection wait.
func (p *pace) park(c *connection) { heap.Push(&p.late, c) }

// due gives those that have waited long enough, and how long the next waits.
func (p *pace) due(now time.Time, atMost time.Duration) (pass []*connection, wait time.Duration) {
	for len(p.late) > 0 {
		if first := p.late[0]; first.due.After(now) && first.fd >= 0 {
			return pass, min(atMost, first.due.Sub(now))
		}
		if c := heap.Pop(&p.late).(*connection); c.fd >= 0 {
			pass = append(pass, c)
		}
	}
	return pass, atMost
}

// parked are connections that wait, the first to have its turn on top
// (container/heap). Some may have gone.
type parked []*connection

func (p parked) Len() int           { return len(p) }
func (p parked) Less(i, j int) bool { return p[i].due.Before(p[j].due) }
func (p parked) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }
func (p *parked) Push(c any)        { *p = append(*p, c.(*connection)) }
func (p *parked) Pop() any {
	last := (*p)[len(*p)-1]
	*p = (*p)[:len(*p)-1]
	return last
}
