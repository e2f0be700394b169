package tasks

import (
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/queue"
	"deputy/internal/monitor/state"
)

// A task whose action stands in a queue needs a place there from its intent to its end.
// Who has one, and who waits for one, follows from the tasks that live and the policy in
// force: nothing of it is recorded but which queues are paused.

// lines are the queues that somebody is in, or that are declared.
type lines map[string]*queue.Line

// declared is the action of a task in the policy in force; nil: there is none.
func (r *Tasks) declared(t *Task) *manifest.Action {
	if module := r.Policy().Set().Modules[t.Module]; module != nil {
		return module.Actions[t.Action]
	}
	return nil
}

// queueOf names the queue that a task needs a place in; "": none.
func (r *Tasks) queueOf(t *Task) string {
	if a := r.declared(t); a != nil && r.Policy().Set().Queues[a.Queue] != nil {
		return a.Queue
	}
	return ""
}

// line gives a declared queue.
func (r *Tasks) line(name string) *queue.Line {
	l := r.lines[name]
	if l == nil {
		q := r.Policy().Set().Queues[name]
		l = queue.New(queue.Rules{Parallel: q.Parallel, Fair: queue.Fair(q.Fair), OvertakeAfter: q.OvertakeAfter})
		l.Paused = r.State.Paused[name]
		r.lines[name] = l
	}
	return l
}

// Requeue puts every task into its queue, as the policy that has come into force says,
// and begins whoever has a place now.
func (r *Tasks) Requeue() {
	r.lines = lines{}
	for t := range r.All() {
		r.enter(t)
	}
	r.serveAll()
}

// enter puts a task where it belongs in its queue.
func (r *Tasks) enter(t *Task) {
	name := r.queueOf(t)
	t.queue = name
	switch {
	case name == "" || t.Phase == state.Over && t.Attempt == 0:
	case t.Phase == state.Queued && !t.intended:
		r.line(name).Wait(queue.Entry{
			ID: t.ID, Priority: r.declared(t).Priority, Caller: string(r.Callers.Account(t.Caller)), EndUser: t.EndUser,
			Seq: t.Seq, Since: t.Created.UnixNano(),
		})
	default:
		r.line(name).Place(t.ID)
	}
}

// leaveQueue gives a task's place to the next.
func (r *Tasks) leaveQueue(t *Task) {
	if t.queue == "" {
		return
	}
	if l := r.lines[t.queue]; l != nil {
		l.Leave(t.ID)
	}
	r.serve(t.queue)
}

// Places is how many who came now would be given a place in a queue at once.
func (r *Tasks) Places(name string) int {
	if l := r.line(name); l.Free() {
		return l.Rules.Parallel - l.Placed()
	}
	return 0
}

// Placed is how many have a place in a queue.
func (r *Tasks) Placed(name string) int { return r.line(name).Placed() }

// InQueue is how many wait for a place.
func (r *Tasks) InQueue(name string) int { return r.line(name).Waiting() }

// Waiting is how many wait for a place in any queue.
func (r *Tasks) Waiting() (n int) {
	for _, l := range r.lines {
		n += l.Waiting()
	}
	return n
}

// Pause has nobody given a place in a queue from now on, or again.
func (r *Tasks) Pause(name string, paused bool) {
	if r.Policy().Set().Queues[name] == nil {
		return
	}
	r.line(name).Paused = paused
	r.serve(name)
}

// serve begins those who are next while there are places.
func (r *Tasks) serve(name string) {
	if r.Policy().Set().Queues[name] == nil || r.Hold() || r.Ledger.Unwritable() != nil {
		return
	}
	l := r.line(name)
	for {
		id := l.Next(r.Loop.Wall().UnixNano(), r.mayBegin)
		if id == "" {
			return
		}
		r.begin(r.Get(id))
	}
}

func (r *Tasks) serveAll() {
	for name := range r.lines {
		r.serve(name)
	}
}

// mayBegin says whether a task that waits in a queue could begin if it had a place: a
// task takes lock and place together.
func (r *Tasks) mayBegin(id string) bool {
	t := r.Get(id)
	return t != nil && t.Phase == state.Queued && !t.intended && r.holdsLock(t)
}

// holdsLock says whether no other is before a task behind its lock.
func (r *Tasks) holdsLock(t *Task) bool {
	return t.Lock == nil || r.State.LockOf(t.Task).Holder == t.Task
}

// mustWait says whether a task has no place in its queue yet.
func (r *Tasks) mustWait(t *Task) bool {
	return t.queue != "" && r.lines[t.queue] != nil && !r.lines[t.queue].Has(t.ID)
}

// Position is how many of its queue would begin before a task that waits.
func (r *Tasks) Position(t *Task) int {
	return r.line(t.queue).Position(t.ID, r.Loop.Wall().UnixNano(), r.mayBegin)
}

// goOn begins a task that the lock is free for, if it has or gets a place.
func (r *Tasks) goOn(t *Task) {
	if r.mustWait(t) {
		r.serve(t.queue)
		return
	}
	r.begin(t)
}
