// Package state is what the monitor knows, and all of it follows from the journal:
// live tasks, idempotency keys, used nonces, locks, and what each caller costs. It
// is pure: it changes only by Apply, which a replay calls with the same events, and
// by Happen, the table of a task's life. It knows no clock, no process and no file.
package state

import (
	"encoding/json"
	"fmt"
	"time"

	"deputy"
	"deputy/internal/signature"
)

// KeyLife is how long an Idempotency-Key gives the same tasks.
const KeyLife = 24 * time.Hour

// State is all of it. A checkpoint is its JSON.
type State struct {
	Tasks  map[string]*Task      `json:"tasks"` // live ones, by id
	Keys   map[Scope]*KeyUse     `json:"keys"`
	Nonces Nonces                `json:"nonces"` // of signed requests that changed something
	Boot   string                `json:"boot"`   // id of the boot in which the last monitor began
	Known  Moment                `json:"known"`  // of what was signed from then on every nonce is known
	Drains bool                  `json:"draining,omitempty"`
	Paused map[string]bool       `json:"paused,omitempty"` // queues, by name
	locks  map[lockName]*LockUse // derived from Tasks
	count  map[deputy.Caller]Use // derived from Tasks and Keys
	values int                   // bytes of memory that the values of Tasks take, about
	bytes  int64                 // what Tasks and Keys need of the journal's reserve
}

// Apply changes the state by one durable, or about to be durable, event.
func (s *State) Apply(e *deputy.Event) error {
	s.Nonces.Use(e.Nonce)
	switch e.Type {
	case deputy.Checkpoint:
		return s.restore(e.Checkpoint)
	case deputy.MonitorStart:
		s.begin(e)
	case deputy.MonitorEnd:
		s.unborn()
	case deputy.Accepted:
		return s.accept(e)
	case deputy.StartIntended:
		if t := s.Tasks[e.Task]; t != nil {
			t.intend(e.Attempt, s.Boot)
		}
	case deputy.Started:
		if t := s.Tasks[e.Task]; t != nil {
			t.PID, t.Leaf, t.Boot, t.BootNS, t.Started = e.PID, e.Leaf, e.Boot, e.BootNS, &e.Time
		}
	case deputy.StopRequested:
		if t := s.Tasks[e.Task]; t != nil && t.StopAs == "" {
			t.StopAs, t.StopWhy = e.State, e.Reason
		}
	case deputy.Ended:
		s.remove(e.Task)
	case deputy.DrainOn, deputy.DrainOff:
		s.Drains = e.Type == deputy.DrainOn
	case deputy.QueuePaused:
		s.Paused[e.Queue] = true
	case deputy.QueueResumed:
		delete(s.Paused, e.Queue)
	}
	return nil
}

// begin notes that a monitor took up the journal: a new one, one that it has
// known so far, or a restored one.
func (s *State) begin(e *deputy.Event) {
	fresh := s.Boot == ""
	s.Boot = e.Boot
	for _, t := range s.Tasks {
		t.Unborn = t.Unborn && t.IntentBoot != e.Boot
	}
	switch {
	case e.Restored:
		// A signer's clock may be ahead, and what it signed was used before.
		s.Known = Moment{e.Boot, e.BootNS + int64(signature.Window*time.Second)}
		for _, t := range s.Tasks {
			t.Lost = true
		}
	case fresh:
		s.Known = Moment{e.Boot, e.BootNS}
	}
}

// unborn notes that nothing came of the intents to start that have no record of
// a start: a monitor that ended in good order had no birth under way. That holds
// until a monitor begins in the same boot, which may start them by these intents.
func (s *State) unborn() {
	for _, t := range s.Tasks {
		t.Unborn = t.Phase == Starting && t.Leaf == ""
	}
}

func (s *State) accept(e *deputy.Event) error {
	var ids []string
	for i := range e.Tasks {
		r := &e.Tasks[i]
		ids = append(ids, r.ID)
		if r.Joined {
			if t := s.Tasks[r.ID]; t != nil {
				s.join(t, deputy.Party{Caller: e.Caller, EndUser: e.EndUser}, e.Seq)
			}
			continue
		}
		t := &Task{
			LiveTask: deputy.LiveTask{
				Module: e.Module, Action: e.Action, Params: r.Params, Lock: r.Lock,
				Caller: e.Caller, EndUser: e.EndUser, Seq: e.Seq, Created: e.Time,
			},
			ID: r.ID, Parts: r.Parts, Policy: e.Policy, Phase: Queued, Accepted: Moment{s.Boot, e.BootNS},
		}
		if err := json.Unmarshal(r.Run, &t.Terms); err != nil {
			return fmt.Errorf("cannot read how task %s runs: %w", r.ID, err)
		}
		if !r.Queued { // this record is the intent to start its first attempt, too
			t.intend(1, s.Boot)
		}
		s.add(t)
	}
	s.order(e)
	if len(e.IDs) > 0 { // those that it stops, or one for each item where items share tasks
		ids = e.IDs
	}
	if e.Key != nil {
		s.remember(e, ids)
	}
	return nil
}

// Cancel takes an Accepted event back that never became durable. Its tasks
// were not started: a start waits for durability.
func (s *State) Cancel(e *deputy.Event) {
	for _, r := range e.Tasks {
		if !r.Joined {
			s.remove(r.ID)
		} else if t := s.Tasks[r.ID]; t != nil { // one that was recorded before as well is recorded once more when it asks again
			s.unjoin(t, deputy.Party{Caller: e.Caller, EndUser: e.EndUser})
		}
	}
	for _, id := range e.Replaces {
		if t := s.Tasks[id]; t != nil {
			t.Ordered = nil
		}
	}
	s.Unkey(e)
}

// order notes which tasks a request was accepted to stop.
func (s *State) order(e *deputy.Event) {
	stopped := e.Replaces
	if len(e.Tasks) == 0 {
		stopped = e.IDs
	}
	for _, id := range stopped {
		if t := s.Tasks[id]; t != nil {
			t.Ordered = OrderOf(e)
		}
	}
}

// intend notes that the intent to start an attempt is recorded.
func (t *Task) intend(attempt int, boot string) {
	t.Happen(Intended)
	t.Attempt, t.IntentBoot, t.Unborn = attempt, boot, false
}

// PutBack queues a task anew whose intent to start came to nothing in another boot, or
// which ended as it waited, and that was not recorded.
func (t *Task) PutBack() {
	t.Happen(Put)
	t.Attempt, t.IntentBoot = max(t.Attempt-1, 0), ""
}

// Unended is the state without tasks whose end stands in the journal already.
func (s *State) Unended() *State {
	live := make(map[string]*Task, len(s.Tasks))
	for id, t := range s.Tasks {
		if !t.Ending {
			live[id] = t
		}
	}
	return &State{Tasks: live, Keys: s.Keys, Nonces: s.Nonces, Boot: s.Boot, Known: s.Known, Drains: s.Drains, Paused: s.Paused}
}
