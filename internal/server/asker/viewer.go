package asker

import (
	"context"
	"slices"

	"deputy"
)

// Viewer cuts events down to what one asker may see.
type Viewer struct {
	asker  *Asker
	policy *policy          // what is in seen was decided under it
	seen   map[string]Sight // by task
}

// maxSeen is how many tasks a viewer remembers.
const maxSeen = 10_000

// Viewer begins a view of the journal's events.
func (a *Asker) Viewer() *Viewer { return &Viewer{asker: a, seen: map[string]Sight{}} }

// View says whether the asker may see an event, and takes from it what it may
// not.
func (v *Viewer) View(ctx context.Context, e *deputy.Event) (bool, error) {
	rights, err := v.asker.Rights(ctx)
	if err != nil || rights.Auditor {
		return err == nil, err
	}
	if v.policy != v.asker.session.policy || len(v.seen) > maxSeen {
		v.policy, v.seen = v.asker.session.policy, map[string]Sight{}
	}
	show := false
	switch e.Type {
	case deputy.Accepted:
		show, err = v.viewAccepted(ctx, e)
	case deputy.StartIntended, deputy.Started, deputy.StopRequested, deputy.Ended:
		var seen Sight
		if seen, err = v.sight(ctx, e.Task); seen == Outline {
			*e = outlineOf(e)
		}
		show = seen != Hidden
	case deputy.OutputRemoved:
		e.IDs, err = only(e.IDs, func(id string) (bool, error) { return v.whole(ctx, id) })
		show = len(e.IDs) > 0
	}
	// Which rule decided, and where it stands, is for auditors.
	e.Rule, e.Policy = "", ""
	return show, err
}

// outlineOf is an event of a task without what is told to those alone who may see
// the task whole.
func outlineOf(e *deputy.Event) deputy.Event {
	return deputy.Event{
		Seq: e.Seq, Time: e.Time, Type: e.Type, Task: e.Task, Attempt: e.Attempt, State: e.State,
		Exit: e.Exit, Receipt: e.Receipt, Left: e.Left,
	}
}

// viewAccepted leaves the tasks that the asker may see whole. Its own request is
// shown whole: what it asked for, it sees. Of another party's it is not told in
// whose name that was.
func (v *Viewer) viewAccepted(ctx context.Context, e *deputy.Event) (bool, error) {
	if v.asker.reaches(deputy.Party{Caller: e.Caller, EndUser: e.EndUser}) {
		for i := range e.Tasks {
			e.Tasks[i].Run = nil
			delete(v.seen, e.Tasks[i].ID) // what was seen of it before it was joined
		}
		return true, nil
	}
	e.Key, e.Nonce, e.IDs = nil, nil, nil
	var err error
	e.Tasks, err = only(e.Tasks, func(t deputy.TaskRecord) (bool, error) { return v.whole(ctx, t.ID) })
	started := false
	for i := range e.Tasks {
		e.Tasks[i].Run = nil
		started = started || !e.Tasks[i].Joined
	}
	if !started { // whoever had started the task may not know for whom others ask
		e.EndUser = ""
	}
	return len(e.Tasks) > 0, err
}

// only leaves what ok says; the last error is told.
func only[T any](list []T, ok func(T) (bool, error)) ([]T, error) {
	var failed error
	list = slices.DeleteFunc(list, func(item T) bool {
		keep, err := ok(item)
		if err != nil {
			failed = err
		}
		return !keep
	})
	return list, failed
}

// whole says whether the asker may see all of a task.
func (v *Viewer) whole(ctx context.Context, id string) (bool, error) {
	seen, err := v.sight(ctx, id)
	return seen == Whole, err
}

// sight says how much of a task the asker may see.
func (v *Viewer) sight(ctx context.Context, id string) (Sight, error) {
	if seen, known := v.seen[id]; known {
		return seen, nil
	}
	task, found, err := v.asker.session.of.tasks.Task(ctx, id)
	if err != nil || !found {
		return Hidden, err
	}
	seen, err := v.asker.sight(ctx, &task)
	if err == nil {
		v.seen[id] = seen
	}
	return seen, err
}
