package manifest

import (
	"fmt"
	"time"
)

// A queue is declared in deputy.toml, or in whichever manifest brings it along, and its
// name means the same everywhere. What deputy.toml says of it counts; manifests that
// declare it must agree with one another.

// Queue lets so many tasks of its actions run at a time.
type Queue struct {
	Name          string
	Pos           Pos
	Parallel      int           // tasks that run at a time, 1 or more
	MaxWaiting    int           // tasks that may wait for a place
	Fair          string        // "caller", "end_user" or "none": between whom turns are taken
	OvertakeAfter time.Duration // who has waited so long goes before any priority
}

// Bounds of a queue, and of an action's priority in it.
const (
	maxParallel   = 1024
	maxQueued     = 1000
	maxPriority   = 100
	maxQueues     = 256
	overtakeAfter = 15 * time.Minute // unless it is declared
)

// alike says whether two declarations say the same.
func (q *Queue) alike(other *Queue) bool {
	a, b := *q, *other
	a.Pos, b.Pos = Pos{}, Pos{}
	return a == b
}

// queueTables reads [queue.NAME] tables. settled: they are deputy.toml's, and count.
func (l *loader) queueTables(settled bool) func(*node) {
	return func(n *node) {
		for _, c := range l.members(n) {
			_, err := named(moduleName, "a queue")(c.key)
			l.wrongKey(c, err)
			q := &Queue{Name: c.key, Pos: c.pos(), Parallel: 1, MaxWaiting: maxQueued, Fair: "caller", OvertakeAfter: overtakeAfter}
			if !l.table(c, "a queue", fields{
				"parallel": whole(l, &q.Parallel, 1, maxParallel), "max_waiting": whole(l, &q.MaxWaiting, 1, maxQueued),
				"fair": into(l, &q.Fair, oneOf("caller", "end_user", "none")), "overtake_after": into(l, &q.OvertakeAfter, timeout),
			}) {
				continue
			}
			l.declare(c, q, settled)
		}
	}
}

func (l *loader) declare(n *node, q *Queue, settled bool) {
	switch before := l.queues[q.Name]; {
	case before == nil && len(l.queues) >= maxQueues:
		l.failKey(n, "have actions share one", "there are more than %d queues", maxQueues)
	case before == nil:
		l.queues[q.Name], l.settled[q.Name] = q, settled
	case l.settled[q.Name]: // deputy.toml is read first, and counts
	case !before.alike(q):
		l.failKey(n, fmt.Sprintf("make them agree, or declare [queue.%s] in deputy.toml, which counts", q.Name),
			"queue %q is declared otherwise at %s", q.Name, before.Pos)
	}
}

// checkQueues refuses actions whose queue nobody declared.
func (l *loader) checkQueues() {
	for _, m := range sorted(l.modules) {
		for _, a := range sorted(m.Actions) {
			if at := l.queueOf[a]; a.Queue != "" && l.queues[a.Queue] == nil && at != nil {
				l.fail(at, fmt.Sprintf("write [queue.%s] with parallel = 1 in this manifest, or in deputy.toml", a.Queue),
					"there is no queue %q", a.Queue)
			}
		}
	}
}

// queueName reads which queue an action stands in.
func (l *loader) queueName(d *draft) func(*node) {
	return func(n *node) {
		into(l, &d.Queue, named(moduleName, "a queue"))(n)
		d.queueAt = n
	}
}

// finishQueue checks what an action says of its queue.
func (l *loader) finishQueue(d *draft, n *node) {
	if c := n.get("priority"); c != nil && d.Queue == "" {
		l.failKey(c, `write queue = "…", too`, "priority without a queue: nothing waits by it")
	}
	if d.Stops != "" {
		d.Queue, d.Priority = "", 0
	}
	if d.queueAt != nil {
		l.queueOf[&d.Action] = d.queueAt
	}
}
