package share

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// Desks have each sender served at a desk of its own, so many of its requests at a
// time, whatever it sends: the others wait there, for one another and for nobody
// else.
type Desks struct {
	places int
	pauses bool // see NewWork

	mu sync.Mutex // guards what follows
	by map[string]*desk
}

type desk struct {
	places chan struct{}
	users  int // who have a place, or wait for one
}

// NewDesks makes desks with so many places each.
func NewDesks(places int) *Desks { return &Desks{places: places, by: map[string]*desk{}} }

// NewWork makes desks for what takes a processor. Whoever has more of it waiting than
// is done has its place rest as long as it was used: on a machine that has no processor
// to spare that leaves some of what deputy gets to the others.
func NewWork(places int) *Desks {
	d := NewDesks(places)
	d.pauses = true
	return d
}

// longestPause is how long a place rests at most.
const longestPause = 50 * time.Millisecond

// Processors is how many places leave half of the processors to the others.
func Processors() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// Enter waits for a place. leave gives it back, and may be called again.
func (d *Desks) Enter(ctx context.Context, who string) (leave func(), err error) {
	d.mu.Lock()
	at := d.by[who]
	if at == nil {
		at = &desk{places: make(chan struct{}, d.places)}
		d.by[who] = at
	}
	at.users++
	d.mu.Unlock()
	select {
	case at.places <- struct{}{}:
		begun := time.Now()
		return sync.OnceFunc(func() { d.leave(who, at, time.Since(begun)) }), nil
	case <-ctx.Done():
		d.forget(who, at)
		return nil, ctx.Err()
	}
}

// patience is how long a body waits, of which nothing is read meanwhile.
const patience = 5 * time.Second

// EnterBody is Enter for one more long body: it waits for a while.
func (d *Desks) EnterBody(ctx context.Context, who string) (leave func(), err error) {
	soon, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if leave, err = d.Enter(soon, who); err != nil && ctx.Err() == nil {
		err = tooMany()
	}
	return leave, err
}

func (d *Desks) leave(who string, at *desk, took time.Duration) {
	d.mu.Lock()
	waiting := at.users > d.places
	d.mu.Unlock()
	give := func() { <-at.places; d.forget(who, at) }
	if d.pauses && waiting {
		time.AfterFunc(min(took, longestPause), give)
		return
	}
	give()
}

func (d *Desks) forget(who string, at *desk) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at.users--; at.users == 0 {
		delete(d.by, who)
	}
}
