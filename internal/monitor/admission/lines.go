package admission

import (
	"deputy"
	"deputy/internal/monitor/manifest"
)

// A task whose action stands in a queue begins at once only if a place is free there
// and nobody waits for one; otherwise it is accepted to wait, as long as there is room.

// maxWaiting is how many tasks may wait for a place in any queue.
const maxWaiting = 100_000

// line is what one request takes of the queue of its action.
type line struct {
	ad      *Admission
	queue   *manifest.Queue // nil: the action needs no place
	places  int             // that are free for it
	waiting int             // of its tasks, for a place
}

func (ad *Admission) lineOf(a *manifest.Action) *line {
	l := &line{ad: ad}
	if l.queue = ad.Policy().Set().Queues[a.Queue]; l.queue != nil {
		l.places = ad.Tasks.Queues.Places(a.Queue)
	}
	return l
}

// takes says whether one more task has to wait: behind its lock, or for a place.
func (l *line) takes(behindLock bool) (waits bool) {
	switch {
	case l.queue == nil:
		return behindLock
	case behindLock || l.places == 0:
		l.waiting++
		return true
	}
	l.places--
	return false
}

// refuse refuses what would be too many that wait.
func (l *line) refuse() *deputy.Error {
	var refusal *deputy.Error
	switch {
	case l.waiting > 0 && l.ad.Tasks.Queues.Waiting(l.queue.Name)+l.waiting > l.queue.MaxWaiting:
		refusal = deputy.Refuse(deputy.RateLimited,
			"cannot accept: %d tasks wait in the queue %s, of at most %d ([queue.%s] max_waiting); nothing was started, ask again when some have begun, or see: deputy queue",
			l.ad.Tasks.Queues.Waiting(l.queue.Name), l.queue.Name, l.queue.MaxWaiting, l.queue.Name)
	case l.waiting > 0 && l.ad.Tasks.Queues.AllWaiting()+l.waiting > maxWaiting:
		refusal = deputy.Refuse(deputy.RateLimited, "cannot accept: %d tasks wait, of at most %d; nothing was started, ask again when some have begun", l.ad.Tasks.Queues.AllWaiting(), maxWaiting)
	default:
		return nil
	}
	refusal.RetryAfter = 1
	return refusal
}
