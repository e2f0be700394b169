// Package queues keeps the queues of the policy in force: which tasks have a place in
// one, and which wait for one. A task whose action stands in a queue needs a place there
// from its intent to its end. Who has one follows from the tasks that live and the policy
// alone: nothing of it is recorded but which queues are paused. It belongs to the loop.
package queues

import (
	"deputy"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/queue"
	"deputy/internal/monitor/state"
)

// Options are what queues need.
type Options struct {
	State    *state.State
	Policy   func() *policy.Policy // in force
	Account  func(deputy.Caller) deputy.Caller
	Now      func() int64             // ns of the wall clock
	Open     func() bool              // whether anything may begin at all
	MayBegin func(t *state.Task) bool // whether one that waits could begin if it had a place
	Begin    func(t *state.Task)      // it has a place
}

// Queues are those that somebody is in, or that were asked for.
type Queues struct {
	o     Options
	lines map[string]*queue.Line
	in    map[string]string // by the id of a task: the queue that it is in
}

// New has nobody in them.
func New(o Options) *Queues {
	return &Queues{o: o, lines: map[string]*queue.Line{}, in: map[string]string{}}
}

// Clear takes everybody out: another policy has come into force.
func (q *Queues) Clear() {
	clear(q.lines)
	clear(q.in)
}

// declared is the action of a task in the policy in force; nil: there is none.
func (q *Queues) declared(t *state.Task) *manifest.Action {
	if module := q.o.Policy().Set().Modules[t.Module]; module != nil {
		return module.Actions[t.Action]
	}
	return nil
}

// line gives a queue; nil: nobody declared it.
func (q *Queues) line(name string) *queue.Line {
	if l := q.lines[name]; l != nil {
		return l
	}
	d := q.o.Policy().Set().Queues[name]
	if d == nil {
		return nil
	}
	l := queue.New(queue.Rules{Parallel: d.Parallel, Fair: queue.Fair(d.Fair), OvertakeAfter: d.OvertakeAfter})
	l.Paused = q.o.State.Paused[name]
	q.lines[name] = l
	return l
}

// Enter puts a task where it belongs in the queue of its action, if that has one: among
// those that wait, or to those that have a place.
func (q *Queues) Enter(t *state.Task, waits bool) {
	a := q.declared(t)
	if a == nil || a.Queue == "" {
		return
	}
	l := q.line(a.Queue)
	if l == nil {
		return
	}
	q.in[t.ID] = a.Queue
	if !waits {
		l.Place(t.ID)
		return
	}
	l.Wait(queue.Entry{
		ID: t.ID, Priority: a.Priority, Caller: string(q.o.Account(t.Caller)), EndUser: t.EndUser, Seq: t.Seq, Since: t.Created.UnixNano(),
	})
}

// Leave takes a task out, and gives its place to the next.
func (q *Queues) Leave(id string) {
	name := q.in[id]
	if name == "" {
		return
	}
	delete(q.in, id)
	q.line(name).Leave(id)
	q.Serve(name)
}

// Of names the queue that a task is in; "": none.
func (q *Queues) Of(id string) string { return q.in[id] }

// MustWait says whether a task has no place yet in the queue that it is in.
func (q *Queues) MustWait(id string) bool {
	name := q.in[id]
	return name != "" && !q.line(name).Has(id)
}

// Serve begins those of a queue who are next, while there are places.
func (q *Queues) Serve(name string) {
	l := q.line(name)
	for l != nil && q.o.Open() {
		id := l.Next(q.o.Now(), q.mayBegin)
		if id == "" {
			return
		}
		q.o.Begin(q.o.State.Tasks[id])
	}
}

// ServeAll does that of all queues.
func (q *Queues) ServeAll() {
	for name := range q.lines {
		q.Serve(name)
	}
}

func (q *Queues) mayBegin(id string) bool {
	t := q.o.State.Tasks[id]
	return t != nil && q.o.MayBegin(t)
}

// Places is how many who came now would be given a place in a queue at once.
func (q *Queues) Places(name string) int {
	if l := q.line(name); l != nil && l.Free() {
		return l.Rules.Parallel - l.Placed()
	}
	return 0
}

// Placed and Waiting are how many have a place in a queue, or wait for one.
func (q *Queues) Placed(name string) int  { return q.line(name).Placed() }
func (q *Queues) Waiting(name string) int { return q.line(name).Waiting() }

// AllWaiting is how many wait for a place in any queue.
func (q *Queues) AllWaiting() (n int) {
	for _, l := range q.lines {
		n += l.Waiting()
	}
	return n
}

// Pause has nobody given a place in a queue from now on, or again.
func (q *Queues) Pause(name string, paused bool) {
	if l := q.line(name); l != nil {
		l.Paused = paused
		q.Serve(name)
	}
}

// Standing is who of a queue would begin before whom.
func (q *Queues) Standing(name string) *queue.Standing {
	return q.line(name).Standing(q.o.Now(), q.mayBegin)
}
