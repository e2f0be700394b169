//go:build linux

package faults

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"deputy"
)

// breach is a promise that was not kept, and where the record shows it.
type breach struct {
	Promise   string
	Task, Key string // what the record is to be searched for
	What      string
}

// story is what the journal tells of one task.
type story struct {
	accepted *deputy.Event
	item     int // in accepted
	joined   []deputy.Caller
	intents  []*deputy.Event
	started  []*deputy.Event
	stops    []*deputy.Event
	ended    []*deputy.Event
}

// keyName is where an Idempotency-Key counts: the harness names no end users.
type keyName struct {
	caller deputy.Caller
	key    string
}

// judge holds the promises against a record.
type judge struct {
	*record
	stories map[string]*story
	keys    map[keyName][]string // by the journal: which tasks a key gave
	starts  map[string][]act     // by task
	ends    map[string][]act
	found   []breach
}

// check gives every broken promise, in the order of the promises.
func (r *record) check() []breach {
	j := &judge{record: r, stories: map[string]*story{}, keys: map[keyName][]string{}, starts: map[string][]act{}, ends: map[string][]act{}}
	j.readJournal()
	for _, a := range r.acts {
		switch a.What {
		case "start":
			j.starts[a.Task] = append(j.starts[a.Task], a)
		case "end":
			j.ends[a.Task] = append(j.ends[a.Task], a)
		}
	}
	j.acknowledged()
	j.onceStarted()
	for _, id := range j.ids() {
		j.oneEnd(id)
	}
	j.nothingLives()
	j.locksAndKeys()
	j.width()
	j.history()
	j.alwaysOpen()
	return j.found
}

func (j *judge) breach(promise, task, format string, args ...any) {
	j.found = append(j.found, breach{Promise: promise, Task: task, What: fmt.Sprintf(format, args...)})
}

// ids lists all tasks of the journal in its order.
func (j *judge) ids() []string {
	var list []string
	for id := range j.stories {
		list = append(list, id)
	}
	slices.SortFunc(list, func(a, b string) int {
		x, y := j.stories[a], j.stories[b]
		return cmp.Or(cmp.Compare(x.accepted.Seq, y.accepted.Seq), cmp.Compare(x.item, y.item))
	})
	return list
}

func (j *judge) readJournal() {
	for i := range j.journal {
		e := &j.journal[i]
		if e.Type == deputy.Accepted {
			j.readAccepted(e)
			continue
		}
		s := j.stories[e.Task]
		if s == nil {
			if e.Task != "" && e.Type != deputy.Denied {
				j.breach("7: nothing without a record", e.Task, "record %d (%s) is about a task that was never accepted", e.Seq, e.Type)
			}
			continue
		}
		switch e.Type {
		case deputy.StartIntended:
			s.intents = append(s.intents, e)
		case deputy.Started:
			s.started = append(s.started, e)
		case deputy.StopRequested:
			s.stops = append(s.stops, e)
		case deputy.Ended:
			s.ended = append(s.ended, e)
		}
	}
}

func (j *judge) readAccepted(e *deputy.Event) {
	ids := slices.Clone(e.IDs) // those of a stops action, or one for each item
	for i, t := range e.Tasks {
		if len(e.IDs) == 0 {
			ids = append(ids, t.ID)
		}
		switch s := j.stories[t.ID]; {
		case !t.Joined && s != nil:
			j.breach("5: one task for one acceptance", t.ID, "record %d accepts it again", e.Seq)
		case !t.Joined:
			j.stories[t.ID] = &story{accepted: e, item: i}
		case s == nil:
			j.breach("7: nothing without a record", t.ID, "record %d joins a task that was never accepted", e.Seq)
		case len(s.ended) > 0:
			j.breach("5: who joins gets a live task", t.ID, "record %d joins it after its end", e.Seq)
		case !slices.Contains(s.joined, e.Caller):
			s.joined = append(s.joined, e.Caller)
		}
	}
	if e.Key == nil {
		return
	}
	name := keyName{e.Caller, e.Key.Key}
	if before, twice := j.keys[name]; twice {
		j.found = append(j.found, breach{Promise: "5: a key counts once", Key: name.key, What: fmt.Sprintf("record %d accepts it again; it gave %v, now %v", e.Seq, before, ids)})
	}
	j.keys[name] = ids
}

// acknowledged: promise 1. What was answered 2xx is in the journal, and so in
// the list that history() holds against it.
func (j *judge) acknowledged() {
	for i := range j.requests {
		q := &j.requests[i]
		if q.Status < 200 || q.Status > 299 {
			continue
		}
		for _, id := range q.Tasks {
			s := j.stories[id]
			if s == nil {
				j.breach("1: what was acknowledged is kept", id, "%s was answered %d with a task that the journal does not have", q.Call, q.Status)
				continue
			}
			if q.Call == "call f/rerun" {
				j.rerunIsFresh(q, id)
			}
		}
		if q.Key == "" {
			continue
		}
		if kept := j.keys[keyName{q.Caller, q.Key}]; !slices.Equal(kept, q.Tasks) {
			j.found = append(j.found, breach{Promise: "1: what was acknowledged is kept", Key: q.Key,
				What: fmt.Sprintf("the key was answered with %v, the journal has %v", q.Tasks, kept)})
		}
	}
}

// rerunIsFresh: who asks for a rerun is given one that begins after the asking.
func (j *judge) rerunIsFresh(q *request, id string) {
	for _, a := range j.starts[id] {
		if a.At < q.FirstSent {
			j.breach("5: a rerun begins after who asked for it", id, "it began %d ns before", q.FirstSent-a.At)
		}
	}
}

// onceStarted: promises 2 and 7.
func (j *judge) onceStarted() {
	for id, starts := range j.starts {
		s := j.stories[id]
		if s == nil {
			j.breach("7: nothing without a record", id, "it ran, and the journal does not know it")
			continue
		}
		if len(starts) > 1 {
			j.breach("2: at most one start for an attempt", id, "it started %d times", len(starts))
		}
		if starts[0].At < s.accepted.Time.UnixNano() {
			j.breach("7: nothing without a record", id, "it ran before it was accepted")
		}
	}
	for id, s := range j.stories {
		if len(s.intents) > 1 || len(s.started) > 1 {
			j.breach("2: at most one start for an attempt", id, "the journal intends %d starts and has %d", len(s.intents), len(s.started))
		}
		if s.accepted.Tasks[s.item].Queued && len(s.intents) == 0 && len(j.starts[id]) > 0 {
			j.breach("7: nothing without a record", id, "it waited, and ran without an intent")
		}
	}
}

// nothingLives: promise 4, by what was found when an end was told, and by what
// a task still did afterwards.
func (j *judge) nothingLives() {
	for i := range j.requests {
		if q := &j.requests[i]; len(q.Lived) > 0 {
			j.breach("4: nothing of an ended task lives", strings.Join(q.Tasks, " "), "%s was answered, and these processes were in its cgroup: %v", q.Call, q.Lived)
		}
	}
	for _, a := range j.acts {
		s := j.stories[a.Task]
		if s != nil && len(s.ended) > 0 && a.At > s.ended[0].Time.UnixNano()+msNS {
			j.breach("4: nothing of an ended task lives", a.Task, "it acted (%s) %d ms after its end", a.What, (a.At-s.ended[0].Time.UnixNano())/msNS)
		}
	}
}

// alwaysOpen: while a keeper lives no connection is refused.
func (j *judge) alwaysOpen() {
	for _, at := range j.refused {
		if !slices.ContainsFunc(j.faults, func(f fault) bool { return f.Orphaned && f.From <= at && at <= f.To }) {
			j.breach("while a keeper lives no connection is refused", "", "one was, at %s", time.Unix(0, at).UTC().Format("15:04:05.000000"))
		}
	}
}

const msNS = 1_000_000 // the journal's times are cut to ms

// narrow is how many tasks of the action narrow may run at a time.
const narrow = 2

// width: never more of a queue have a place than it has, from the intent to start one, or
// the acceptance that is that intent, to its end.
func (j *judge) width() {
	placed := map[string]bool{}
	for i := range j.journal {
		e := &j.journal[i]
		switch {
		case e.Type == deputy.Accepted && e.Action == "narrow":
			for _, t := range e.Tasks {
				if !t.Queued && !t.Joined {
					placed[t.ID] = true
				}
			}
		case e.Type == deputy.StartIntended && j.stories[e.Task] != nil && j.stories[e.Task].accepted.Action == "narrow":
			placed[e.Task] = true
		case e.Type == deputy.Ended:
			delete(placed, e.Task)
		}
		if len(placed) > narrow {
			j.breach("5: no queue is wider than declared", e.Task, "with record %d %d tasks of a queue of %d have a place", e.Seq, len(placed), narrow)
		}
	}
}

// locksAndKeys: promise 5.
func (j *judge) locksAndKeys() {
	for _, a := range j.acts {
		if a.What == "clash" {
			j.breach("5: one live task for a lock", a.Task, "lock %s was held by a process of another task when it began", a.How)
		}
	}
	given := map[keyName][]string{}
	for i := range j.requests {
		q := &j.requests[i]
		if q.Key == "" || q.Status < 200 || q.Status > 299 {
			continue
		}
		name := keyName{q.Caller, q.Key}
		if before, again := given[name]; again && !slices.Equal(before, q.Tasks) {
			j.found = append(j.found, breach{Promise: "5: a key counts once", Key: q.Key, What: fmt.Sprintf("it gave %v, then %v", before, q.Tasks)})
		}
		given[name] = q.Tasks
	}
}
