package monitor

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"deputy"
	"deputy/internal/monitor/policy"
	"deputy/internal/signature"
)

// keyLife is how long an Idempotency-Key gives the same tasks.
const keyLife = 24 * time.Hour

// maxKeys bounds what one caller's keys may cost the monitor's memory.
const maxKeys = 100_000

// maxKey is the longest Idempotency-Key, in bytes.
const maxKey = 255

// State is what the monitor knows, and all of it follows from the journal: it
// changes only by Apply, which replay calls with the same events. A checkpoint
// is its JSON.
type State struct {
	Tasks  map[string]*Task      `json:"tasks"` // live ones, by id
	Keys   map[keyScope]*keyUse  `json:"keys"`
	Nonces nonces                `json:"nonces"` // of signed requests that changed something
	Boot   string                `json:"boot"`   // id of the boot in which the last monitor began
	Known  moment                `json:"known"`  // of what was signed from then on every nonce is known
	Drains bool                  `json:"draining,omitempty"`
	locks  map[lockName]*lockUse // derived from Tasks
	count  map[deputy.Caller]use // derived from Tasks and Keys
	values int                   // bytes of memory that the values of Tasks take, about
	bytes  int64                 // what Tasks and Keys need of the journal's reserve
}

// Task is a live task.
type Task struct {
	ID string `json:"id"`
	deputy.LiveTask
	Parts  []string `json:"lock_parts,omitempty"` // of Lock, its identity; empty: accepted by a version that did not record them
	Policy string   `json:"policy"`               // digest of the policy that allowed it
	Run    Run      `json:"run"`

	Phase      Phase  `json:"phase"`
	IntentBoot string `json:"intent_boot,omitempty"` // boot id when the intent to start it was recorded
	Boot       string `json:"boot,omitempty"`        // boot id at the start

	Accepted moment `json:"accepted"` // when, on the boot clock

	Unborn bool `json:"unborn,omitempty"` // its start was intended, and nothing came of it
	Lost   bool `json:"lost,omitempty"`   // it was live in a journal that was restored

	StopWhy string `json:"stop_why,omitempty"`

	live `json:"-"`
}

// Run is how a task runs and ends, as declared when it was accepted: a later
// policy does not change a task that is alive.
type Run struct {
	UID       uint32   `json:"uid"`  // of the caller, with GIDs: to ask the policy anew before a queued task starts
	GIDs      []uint32 `json:"gids"` //
	GroupSIDs []string `json:"group_sids,omitempty"`
	Manifest  string   `json:"manifest"`
	TimeoutMS int64    `json:"timeout_ms,omitempty"`      // 0: none
	WithinMS  int64    `json:"start_within_ms,omitempty"` // from its acceptance to its start; 0: however late
	GraceMS   int64    `json:"grace_ms"`
	LingerMS  int64    `json:"linger_ms,omitempty"` // 0: what outlives the first process is killed at once
	Signal    int      `json:"signal"`
	Success   []int    `json:"success"`
	Stoppable bool     `json:"stoppable"`
	Cap       int64    `json:"cap"`               // bytes
	KeepMS    int64    `json:"keep_ms,omitempty"` // 0: as [storage] says
	OneFile   bool     `json:"one_file,omitempty"`
	Secret    bool     `json:"secret,omitempty"` // tasks/ID/secrets holds its sensitive values
	Key       string   `json:"key,omitempty"`    // identity's key name; empty for a Unix caller
}

// Apply changes the state by one durable, or about to be durable, event.
func (s *State) Apply(e *deputy.Event) error {
	s.Nonces.use(e.Nonce)
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
			t.Phase, t.Attempt, t.IntentBoot, t.Unborn = Starting, e.Attempt, s.Boot, false
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
		s.Known = moment{e.Boot, e.BootNS + int64(signature.Window*time.Second)}
		for _, t := range s.Tasks {
			t.Lost = true
		}
	case fresh:
		s.Known = moment{e.Boot, e.BootNS}
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
			ID: r.ID, Parts: r.Parts, Policy: e.Policy, Phase: Queued, Accepted: moment{s.Boot, e.BootNS},
		}
		if err := json.Unmarshal(r.Run, &t.Run); err != nil {
			return fmt.Errorf("cannot read how task %s runs: %w", r.ID, err)
		}
		if !r.Queued { // this record is the intent to start its first attempt, too
			t.Phase, t.Attempt, t.IntentBoot = Starting, 1, s.Boot
		}
		s.add(t)
	}
	if len(e.IDs) > 0 { // those that it stops, or one for each item where items share tasks
		ids = e.IDs
	}
	if e.Key != nil {
		s.remember(e, ids)
	}
	return nil
}

// cancel takes an Accepted event back that never became durable. Its tasks
// were not started: a start waits for durability.
func (s *State) cancel(e *deputy.Event) {
	for _, r := range e.Tasks {
		if !r.Joined {
			s.remove(r.ID)
		} else if t := s.Tasks[r.ID]; t != nil { // one that was recorded before as well is recorded once more when it asks again
			s.unjoin(t, deputy.Party{Caller: e.Caller, EndUser: e.EndUser})
		}
	}
	if e.Key != nil {
		s.forget(scopeOf(e.Caller, e.EndUser, e.Key.Key))
	}
}

// party is who asked for it first.
func (t *Task) party() deputy.Party { return deputy.Party{Caller: t.Caller, EndUser: t.EndUser} }

// reaches says whether whoever asks now reaches what a party asked for: the same
// caller does, in the same end user's name or in nobody's.
func reaches(id policy.Identity, p deputy.Party) bool {
	return id.Caller == p.Caller && (id.EndUser == "" || id.EndUser == p.EndUser)
}

// joinedBy says whether whoever asks now has been given this task by a join.
func (t *Task) joinedBy(id policy.Identity) bool {
	return slices.ContainsFunc(t.Joined, func(p deputy.Party) bool { return reaches(id, p) })
}
