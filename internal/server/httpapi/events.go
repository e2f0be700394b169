package httpapi

import (
	"errors"
	"slices"
	"strconv"

	"deputy"
)

// events sends the journal's records that this caller may see: those to come,
// or those behind Last-Event-ID or since a time; without follow up to now alone.
func (x *exchange) events() error {
	values, err := x.query("since", "follow")
	if err != nil {
		return err
	}
	since, err := since(values)
	if err != nil {
		return err
	}
	follow := values.Get("follow")
	if values.Has("follow") && follow != "0" && follow != "1" {
		return badRequest("cannot send events: follow is 0 or 1, not %.50q", follow)
	}
	last, given, err := x.lastEventID()
	if err != nil {
		return err
	}
	from, end := x.api.History.Next(), x.api.History.Next()
	if values.Has("since") {
		from = 0
	}
	if given {
		if end := x.api.History.Applied(); uint64(last) > end { // whatever was sent had been applied
			return badRequest("cannot send what follows record %d: the journal ends at record %d, for it was restored from a back-up; begin anew, with Last-Event-ID: 0", last, end)
		}
		from = uint64(last) + 1
	}
	v := &viewer{x: x, seen: map[string]sight{}}
	if _, err := x.rights(); err != nil {
		return err
	}
	if x.beginsEvents() {
		return nil
	}
	s := x.openEvents()
	defer s.close()
	if follow == "0" && from >= end {
		return nil
	}
	err = x.api.History.EventsAt(x.r.Context(), from, nil, pace{x}, func(e deputy.Event, _ []byte) error {
		over := follow == "0" && e.Seq+1 >= end
		show, err := v.view(&e)
		if err == nil && show && !e.Time.Before(since) {
			err = x.sendEvent(s, &e)
		}
		if err == nil && over {
			return errAllSent
		}
		return err
	})
	if errors.Is(err, errAllSent) {
		return nil
	}
	return x.breakOff(err)
}

// errAllSent ends a stream that was wanted up to a record.
var errAllSent = errors.New("all was sent")

func (x *exchange) sendEvent(s *eventStream, e *deputy.Event) error {
	data, err := encode(shownEvent{Event: *e})
	x.rest()
	if err != nil {
		return err
	}
	return s.send(strconv.FormatUint(e.Seq, 10), string(e.Type), data[:len(data)-1])
}

// pace has events read as the sender's other work is done.
type pace struct{ x *exchange }

func (p pace) Work() error { return p.x.work() }
func (p pace) Rest()       { p.x.rest() }

// shownEvent is an event without the hash of the one before, which says
// nothing to someone who does not see them all.
type shownEvent struct {
	deputy.Event
	Prev *string `json:"prev,omitempty"` // hides Event.Prev
}

// viewer cuts events down to what one caller may see.
type viewer struct {
	x      *exchange
	policy *policy          // what is in seen was decided under it
	seen   map[string]sight // by task
}

// maxSeen is how many tasks a viewer remembers.
const maxSeen = 10_000

// view says whether the caller may see an event, and takes from it what it may
// not.
func (v *viewer) view(e *deputy.Event) (bool, error) {
	rights, err := v.x.rights()
	if err != nil || rights.Auditor {
		return err == nil, err
	}
	if v.policy != v.x.peer.policy || len(v.seen) > maxSeen {
		v.policy, v.seen = v.x.peer.policy, map[string]sight{}
	}
	show := false
	switch e.Type {
	case deputy.Accepted:
		show, err = v.viewAccepted(e)
	case deputy.StartIntended, deputy.Started, deputy.StopRequested, deputy.Ended:
		var seen sight
		if seen, err = v.sight(e.Task); seen == outline {
			*e = outlineOf(e)
		}
		show = seen != hidden
	case deputy.OutputRemoved:
		e.IDs, err = only(e.IDs, v.whole)
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

// viewAccepted leaves the tasks that the caller may see whole. Its own request is
// shown whole: what it asked for, it sees. Of another party's it is not told in
// whose name that was.
func (v *viewer) viewAccepted(e *deputy.Event) (bool, error) {
	if v.x.reaches(deputy.Party{Caller: e.Caller, EndUser: e.EndUser}) {
		for i := range e.Tasks {
			e.Tasks[i].Run = nil
			delete(v.seen, e.Tasks[i].ID) // what was seen of it before it was joined
		}
		return true, nil
	}
	e.Key, e.Nonce, e.IDs = nil, nil, nil
	var err error
	e.Tasks, err = only(e.Tasks, func(t deputy.TaskRecord) (bool, error) { return v.whole(t.ID) })
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

// whole says whether the caller may see all of a task.
func (v *viewer) whole(id string) (bool, error) {
	seen, err := v.sight(id)
	return seen == whole, err
}

// sight says how much of a task the caller may see.
func (v *viewer) sight(id string) (sight, error) {
	if seen, known := v.seen[id]; known {
		return seen, nil
	}
	task, found, err := v.x.api.History.Task(v.x.r.Context(), id)
	if err != nil || !found {
		return hidden, err
	}
	seen, err := v.x.sight(&task)
	if err == nil {
		v.seen[id] = seen
	}
	return seen, err
}
