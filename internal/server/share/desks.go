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

	mu sync.Mutex // guards what follows
	by map[string]*desk
}

type desk struct {
	places chan struct{}
	users  int // who have a place, or wait for one
}

// NewDesks makes desks with so many places each.
func NewDesks(places int) *Desks { return &Desks{places: places, by: map[string]*desk{}} }

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
		return sync.OnceFunc(func() { <-at.places; d.forget(who, at) }), nil
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

func (d *Desks) forget(who string, at *desk) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at.users--; at.users == 0 {
		delete(d.by, who)
	}
}
