package history

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"deputy"
)

// project changes the tasks by one record. Records of tasks that are unknown,
// or have ended, change nothing.
func (h *History) project(r *record) {
	switch r.Type {
	case deputy.Accepted:
		for i := range r.Tasks {
			h.accept(r, i)
		}
	case deputy.Started:
		h.change(r.Task, func(t *task) {
			t.Waits, t.Attempt, t.first = false, r.Attempt, First{r.PID, r.BootNS}
			if t.State == deputy.Queued { // a stop may have been recorded before the birth
				t.State = deputy.Running
			}
			if t.Started == nil {
				t.Started = &r.Time
			}
		})
	case deputy.StopRequested:
		h.change(r.Task, func(t *task) { t.State = deputy.Stopping })
	case deputy.Ended:
		h.change(r.Task, func(t *task) { end(t, r) })
	case deputy.MonitorStart: // what it finds that was to be started may wait anew
		for _, e := range h.tasks {
			if e.task.State == deputy.Queued && !e.task.Waits {
				h.replace(e, func(t *task) { t.Waits = true })
			}
		}
	case deputy.Retired:
		h.retire(r.To)
	case deputy.OutputRemoved:
		h.removeOutput(r.IDs)
	case deputy.Checkpoint:
		if h.applied == 0 { // otherwise it says nothing new
			h.restore(r)
		}
	}
}

func (h *History) accept(r *record, item int) {
	from := &r.Tasks[item]
	if from.Joined {
		h.join(from.ID, deputy.Party{Caller: r.Caller, EndUser: r.EndUser})
		return
	}
	t := &task{ord: ordOf(r.Seq, item), params: from.Params}
	t.ID, t.Module, t.Action, t.Lock = from.ID, r.Module, r.Action, from.Lock
	t.Caller, t.EndUser = r.Caller, textOrNil(r.EndUser)
	t.State, t.Created, t.Waits = deputy.Queued, r.Time, from.Queued
	h.touch(h.add(t))
}

func (h *History) join(id string, p deputy.Party) {
	e := h.tasks[id]
	if e == nil || slices.Contains(e.task.Parties, p) {
		return
	}
	h.change(id, func(t *task) { t.join(p) })
}

func end(t *task, r *record) {
	t.State, t.endedSeq, t.Waits = r.State, r.Seq, false
	t.Reason, t.Ended = textOrNil(r.Reason), &r.Time
	t.Exit, t.Stop, t.Leftover, t.Progress, t.first = r.Exit, r.Receipt, &r.Left, nil, First{}
	if r.Attempt > 0 {
		t.Attempt = r.Attempt
	}
	if r.Out != nil {
		t.StdoutBytes, t.StdoutGap, t.StdoutRewritten = r.Out.Bytes, r.Out.Gap, r.Out.Rewritten
	}
	if r.Err != nil {
		t.StderrBytes, t.StderrGap, t.StderrRewritten = r.Err.Bytes, r.Err.Gap, r.Err.Rewritten
	}
}

// change makes a new version of a live task, to be written.
func (h *History) change(id string, f func(*task)) {
	if e := h.tasks[id]; e != nil && e.task.endedSeq == 0 {
		h.replace(e, f)
		h.touch(e)
	}
}

// replace makes a new version of a task that lives in memory.
func (h *History) replace(e *entry, f func(*task)) {
	next := *e.task
	f(&next)
	e.task = &next
	e.wake()
	if next.endedSeq != 0 {
		e.finish()
	}
}

// touch has a task written with the pending batch.
func (h *History) touch(e *entry) {
	if !e.dirty {
		e.dirty = true
		h.pending.dirty = append(h.pending.dirty, e)
	}
}

// add puts a task into memory. Its ord must be higher than any before.
func (h *History) add(t *task) *entry {
	e := &entry{task: t, ord: t.ord}
	h.tasks[t.ID] = e
	h.order = append(h.order, e)
	h.top = max(h.top, t.ord)
	return e
}

// drop takes a task out of memory.
func (h *History) drop(e *entry) {
	if e.dead {
		return
	}
	e.dead = true
	if h.tasks[e.task.ID] == e {
		delete(h.tasks, e.task.ID)
	}
	if h.dead++; h.dead > recentTasks && h.dead > len(h.order)/2 {
		h.order = slices.DeleteFunc(h.order, func(e *entry) bool { return e.dead })
		h.dead = 0
	}
}

// retire forgets the tasks whose end, and so every record of theirs, was
// deleted from the journal: what is left is what the rest of it would build.
func (h *History) retire(to uint64) {
	h.floor = max(h.floor, to)
	for _, e := range h.tasks {
		if e.task.endedSeq != 0 && e.task.endedSeq <= h.floor {
			h.drop(e)
		}
	}
}

func (h *History) removeOutput(ids []string) {
	for _, id := range ids {
		e := h.tasks[id]
		if e != nil && e.task.endedSeq == 0 {
			continue // only ended ones lose their output
		}
		if h.pending.gone[id] = true; e != nil {
			h.replace(e, func(t *task) { t.gone = true })
		}
	}
}

// restore takes the live tasks of the checkpoint that the oldest segment begins
// with, when the segments before it are deleted. Within a record, tasks stand
// in the order of their ids.
func (h *History) restore(r *record) {
	var c checkpoint
	if len(r.Checkpoint) == 0 || json.Unmarshal(r.Checkpoint, &c) != nil {
		return // not the form that is known: these tasks stay unknown
	}
	ids := slices.SortedFunc(maps.Keys(c.Tasks), func(a, b string) int {
		return cmp.Or(cmp.Compare(c.Tasks[a].Seq, c.Tasks[b].Seq), cmp.Compare(a, b))
	})
	item, seq := 0, uint64(0)
	for _, id := range ids {
		from := c.Tasks[id]
		if from.Seq != seq {
			item, seq = 0, from.Seq
		}
		h.touch(h.add(from.task(id, ordOf(seq, item), r.Time)))
		item++
	}
}

// task is a live task of a checkpoint, in the state that its records gave it.
func (from *liveTask) task(id string, ord int64, now deputy.Time) *task {
	t := &task{ord: ord, params: from.Params}
	t.ID, t.Module, t.Action, t.Lock = id, from.Module, from.Action, from.Lock
	t.Caller, t.EndUser = from.Caller, textOrNil(from.EndUser)
	for _, p := range from.Joined {
		t.join(p)
	}
	t.State, t.Waits = deputy.Queued, from.Leaf == ""
	if from.Leaf != "" {
		t.State, t.Attempt, t.Started, t.first = deputy.Running, from.Attempt, from.Started, First{from.PID, from.BootNS}
	}
	if from.StopAs != "" {
		t.State = deputy.Stopping
	}
	t.Created = from.Created
	if t.Created.IsZero() {
		t.Created = now
		if ms, ok := bornAt(id); ok {
			t.Created = fromMillis(ms)
		}
	}
	return t
}

func textOrNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
