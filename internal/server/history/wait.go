package history

import (
	"context"
	"fmt"

	"deputy"
)

// Task finds a task. Of a live one the bytes and gaps of its output are zero:
// only its files know them. False: there is no such task, or it is retired.
func (h *History) Task(ctx context.Context, id string) (deputy.Task, bool, error) {
	h.mu.RLock()
	s, floor, gone := h.store, h.floor, h.outputGone(id)
	var t *task
	if e := h.tasks[id]; e != nil {
		t = e.task
	}
	h.mu.RUnlock()
	if t == nil {
		var err error
		if t, err = s.task(ctx, id, floor); err != nil {
			return deputy.Task{}, false, fmt.Errorf("cannot read task %s: %w", id, h.noted(err))
		}
		if t == nil {
			return deputy.Task{}, false, nil
		}
		t.gone = t.gone || gone
	}
	return t.public(), true, nil
}

// outputGone says whether a task's output was removed by a record that is not
// committed yet. It needs mu.
func (h *History) outputGone(id string) bool {
	return h.pending.gone[id] || h.writing != nil && h.writing.gone[id]
}

// SetProgress tells what a live task last said of itself. It is forgotten at
// the task's end, and by a restart. Of other tasks it does nothing.
func (h *History) SetProgress(id string, p deputy.Progress) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.tasks[id]; e != nil && e.task.endedSeq == 0 {
		h.replace(e, func(t *task) { t.Progress = &p })
	}
}

// First gives the first process of a task that lives: a zero one while its start
// is not applied yet.
func (h *History) First(id string) (f First, live bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if e := h.tasks[id]; e != nil && e.task.endedSeq == 0 {
		return e.task.first, true
	}
	return First{}, false
}

// Changed gives a channel that is closed at the next change of a task, progress
// included. Take it before reading the task. Of a task that has ended or is
// unknown it never is: nothing changes any more.
func (h *History) Changed(id string) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.tasks[id]
	if e == nil || e.task.endedSeq != 0 {
		return nil
	}
	if e.changed == nil {
		e.changed = make(chan struct{})
	}
	return e.changed
}

// Wait returns when all of these tasks have ended, or with an error: the
// context's, or ErrUnknownTask.
func (h *History) Wait(ctx context.Context, ids ...string) error {
	for _, id := range ids {
		ended, held, err := h.ended(id)
		if err != nil {
			return err
		}
		if held {
			select {
			case <-ended:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		if _, ok, err := h.Task(ctx, id); err != nil || !ok {
			if err == nil {
				err = fmt.Errorf("cannot wait for task %s: %w", id, ErrUnknownTask)
			}
			return err
		}
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.err // which wakes everyone, too
}

// ended gives a channel that is closed at the end of a task that memory holds.
func (h *History) ended(id string) (ended <-chan struct{}, held bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.tasks[id]
	if e == nil || h.err != nil {
		return nil, false, h.err
	}
	if e.ended == nil {
		e.ended = make(chan struct{})
	}
	ended = e.ended
	if e.task.endedSeq != 0 {
		e.finish()
	}
	return ended, true, nil
}
