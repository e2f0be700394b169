package httpapi

import (
	"slices"
	"strconv"

	"deputy"
)

// events sends the journal's records that this caller may see: those to come,
// or those behind Last-Event-ID.
func (x *exchange) events() error {
	if _, err := x.query(); err != nil {
		return err
	}
	last, given, err := x.lastEventID()
	if err != nil {
		return err
	}
	from := x.api.History.Next()
	if given {
		if end := x.api.History.Applied(); uint64(last) > end { // whatever was sent had been applied
			return badRequest("cannot send what follows record %d: the journal ends at record %d, for it was restored from a back-up; begin anew, with Last-Event-ID: 0", last, end)
		}
		from = uint64(last) + 1
	}
	v := &viewer{x: x, seen: map[string]bool{}}
	if _, err := x.rights(); err != nil {
		return err
	}
	if x.beginsEvents() {
		return nil
	}
	s := x.openEvents()
	defer s.close()
	err = x.api.History.Events(x.r.Context(), from, nil, func(e deputy.Event, _ []byte) error {
		show, err := v.view(&e)
		if err != nil || !show {
			return err
		}
		data, err := encode(shownEvent{Event: e})
		if err != nil {
			return err
		}
		return s.send(strconv.FormatUint(e.Seq, 10), string(e.Type), data[:len(data)-1])
	})
	return x.breakOff(err)
}

// shownEvent is an event without the hash of the one before, which says
// nothing to someone who does not see them all.
type shownEvent struct {
	deputy.Event
	Prev *string `json:"prev,omitempty"` // hides Event.Prev
}

// viewer cuts events down to what one caller may see.
type viewer struct {
	x      *exchange
	policy *policy         // what is in seen was decided under it
	seen   map[string]bool // by task
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
		v.policy, v.seen = v.x.peer.policy, map[string]bool{}
	}
	show := false
	switch e.Type {
	case deputy.Accepted:
		show, err = v.viewAccepted(e)
	case deputy.StartIntended, deputy.Started, deputy.StopRequested, deputy.Ended:
		show, err = v.sees(e.Task)
	case deputy.OutputRemoved:
		e.IDs = slices.DeleteFunc(e.IDs, func(id string) bool {
			seen, seeErr := v.sees(id)
			if seeErr != nil {
				err = seeErr
			}
			return !seen
		})
		show = len(e.IDs) > 0
	}
	// Which rule decided, and where it stands, is for auditors.
	e.Rule, e.Policy = "", ""
	return show, err
}

// viewAccepted leaves the tasks that the caller sees. Its own request is
// shown whole: what it asked for, it sees.
func (v *viewer) viewAccepted(e *deputy.Event) (bool, error) {
	own := e.Caller == v.x.peer.caller && (v.x.endUser == "" || e.EndUser == v.x.endUser)
	if !own {
		e.Key, e.IDs = nil, nil
	}
	var err error
	e.Tasks = slices.DeleteFunc(e.Tasks, func(t deputy.TaskRecord) bool {
		if own {
			v.seen[t.ID] = true
			return false
		}
		seen, seeErr := v.sees(t.ID)
		if seeErr != nil {
			err = seeErr
		}
		return !seen
	})
	for i := range e.Tasks {
		e.Tasks[i].Run = nil
	}
	return own || len(e.Tasks) > 0, err
}

// sees says whether the caller may see a task.
func (v *viewer) sees(id string) (bool, error) {
	if seen, known := v.seen[id]; known {
		return seen, nil
	}
	task, found, err := v.x.api.History.Task(v.x.r.Context(), id)
	if err != nil || !found {
		return false, err
	}
	seen, err := v.x.sees(&task)
	if err == nil {
		v.seen[id] = seen
	}
	return seen, err
}
