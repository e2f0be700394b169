package state

import (
	"slices"
	"time"

	"deputy"
	"deputy/internal/monitor/policy"
)

// What is in a Task the journal says: a replay makes the same. What only this monitor
// knows of it, timers and births, is kept elsewhere (tasks.Task).

// Task is a live task, as the journal knows it.
type Task struct {
	ID string `json:"id"`
	deputy.LiveTask
	Parts  []string `json:"lock_parts,omitempty"` // of Lock, its identity; empty: accepted by a version that did not record them
	Policy string   `json:"policy"`               // digest of the policy that allowed it
	Terms  Terms    `json:"run"`

	Phase      Phase  `json:"phase"`                 // changed by Happen alone
	IntentBoot string `json:"intent_boot,omitempty"` // boot id when the intent to start it was recorded
	Boot       string `json:"boot,omitempty"`        // boot id at the start

	Accepted Moment `json:"accepted"` // when, on the boot clock

	Unborn bool `json:"unborn,omitempty"` // its start was intended, and nothing came of it
	Lost   bool `json:"lost,omitempty"`   // it was live in a journal that was restored

	StopWhy string `json:"stop_why,omitempty"`
	Ordered *Order `json:"ordered,omitempty"` // to be stopped, by another action's request; StopAs says whether that was begun

	// Derived; a replay makes them anew.
	Ending  bool     `json:"-"` // its end is in the journal's hands, and not durable yet
	JoinSeq uint64   `json:"-"` // of the newest record of a join
	lock    lockName // the one that it holds or awaits; only where Lock is set
	bytes   int64    // what it needs of the journal's reserve
	values  int      // bytes of memory that its values take, about
}

// Terms are how a task runs and ends, as declared when it was accepted: a later
// policy does not change a task that is alive.
type Terms struct {
	UID       uint32   `json:"uid"`  // of the caller, with GIDs: to ask the policy anew before a queued task starts
	GIDs      []uint32 `json:"gids"` //
	GroupSIDs []string `json:"group_sids,omitempty"`
	Manifest  string   `json:"manifest"`                  // digest of its action
	TimeoutMS int64    `json:"timeout_ms,omitempty"`      // 0: none
	WithinMS  int64    `json:"start_within_ms,omitempty"` // from its acceptance to its start; 0: however late
	QuietMS   int64    `json:"quiet_ms,omitempty"`        // it begins so long after it was last asked for, …
	AtMostMS  int64    `json:"at_most_ms,omitempty"`      // … and so long after its acceptance at the latest; 0: it is not debounced
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

// Order is by whom a task is to be stopped, and why.
type Order struct {
	Why     string        `json:"why"`
	Caller  deputy.Caller `json:"caller"`
	EndUser string        `json:"end_user,omitempty"`
	Rule    string        `json:"rule,omitempty"`
}

// OrderOf is what was accepted for the tasks that a request stops or replaces.
func OrderOf(accepted *deputy.Event) *Order {
	e := accepted
	why := "stopped by "
	if len(e.Replaces) > 0 {
		why = "replaced by a request of "
	}
	return &Order{
		Why:    why + string(e.Caller) + " through " + e.Module + "/" + e.Action,
		Caller: e.Caller, EndUser: e.EndUser, Rule: e.Rule,
	}
}

// Within is WithinMS as a duration.
func (t *Terms) Within() time.Duration { return time.Duration(t.WithinMS) * time.Millisecond }

// Due is when a debounced task begins that was accepted at first, and asked for again at
// last, both on one clock in ns.
func (t *Terms) Due(first, last int64) int64 {
	return min(last+t.QuietMS*int64(time.Millisecond), first+t.AtMostMS*int64(time.Millisecond))
}

// Party is who asked for it first.
func (t *Task) Party() deputy.Party { return deputy.Party{Caller: t.Caller, EndUser: t.EndUser} }

// Reaches says whether whoever asks now reaches what a party asked for: the same
// caller does, in the same end user's name or in nobody's.
func Reaches(id policy.Identity, p deputy.Party) bool {
	return id.Caller == p.Caller && (id.EndUser == "" || id.EndUser == p.EndUser)
}

// JoinedBy says whether whoever asks now has been given this task by a join.
func (t *Task) JoinedBy(id policy.Identity) bool {
	return slices.ContainsFunc(t.Joined, func(p deputy.Party) bool { return Reaches(id, p) })
}

// Moment is a time on the boot clock, which neither a set clock nor a suspended
// machine changes; it says nothing in another boot.
type Moment struct {
	Boot string `json:"boot"` // boot id
	NS   int64  `json:"ns"`   // CLOCK_BOOTTIME
}
