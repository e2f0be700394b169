// Package waits says what tasks wait for. That follows from the state as it is now, and
// is asked for when a task is shown: it stands in no record.
package waits

import (
	"time"

	"deputy"
	"deputy/internal/monitor/queue"
	"deputy/internal/monitor/tasks"
)

// Waits are those of some tasks. Who would begin before whom in a queue is found out
// beside the loop, on a copy.
type Waits struct {
	by        map[string]*deputy.Waiting
	inQueue   map[string]string          // by the id of a task that waits for a place: the queue
	standings map[string]*queue.Standing // of these queues
}

// Of says what each of these tasks waits for that does wait. The loop calls it.
func Of(r *tasks.Tasks, ids []string) *Waits {
	w := &Waits{by: map[string]*deputy.Waiting{}, inQueue: map[string]string{}, standings: map[string]*queue.Standing{}}
	for _, id := range ids {
		if r.State.Tasks[id] == nil {
			continue
		}
		t := r.Get(id)
		if !t.Waits() {
			continue
		}
		wait := &deputy.Waiting{Since: t.Created, Until: until(r, t)}
		name := r.Queues.Of(id)
		if name != "" {
			wait.Queue = &name
		}
		switch {
		case !r.HoldsLock(t.Task):
			wait.For = deputy.ForLock
			if holder := r.State.LockOf(t.Task).Holder; holder != nil {
				wait.Task = new(holder.ID)
			}
		case r.Unripe(t) > 0:
			wait.For, wait.Until = deputy.ForDebounce, &deputy.Time{Time: r.Loop.Wall().Add(r.Unripe(t))}
		case r.Queues.MustWait(id):
			wait.For, w.inQueue[id] = deputy.ForQueue, name
			if w.standings[name] == nil {
				w.standings[name] = r.Queues.Standing(name)
			}
		default: // it is about to begin
			continue
		}
		w.by[id] = wait
	}
	return w
}

// Find gives what each waits for, by id. Anybody may call it, once.
func (w *Waits) Find() map[string]*deputy.Waiting {
	positions := map[string]map[string]int{}
	for name, standing := range w.standings {
		positions[name] = standing.Positions()
	}
	for id, name := range w.inQueue {
		if before, known := positions[name][id]; known {
			w.by[id].Position = &before
		}
	}
	return w.by
}

// until is when a task that waits is no longer started, on the wall clock as it is set
// now; nil: it waits however long.
func until(r *tasks.Tasks, t *tasks.Task) *deputy.Time {
	if t.Terms.WithinMS == 0 {
		return nil
	}
	// As long as nobody has set the clock it is the same instant whenever it is asked for.
	declared, now := t.Created.Add(t.Terms.Within()), r.Loop.Wall().Add(r.TimeLeft(t))
	if now.Sub(declared).Abs() < time.Second {
		now = declared
	}
	return &deputy.Time{Time: now}
}
