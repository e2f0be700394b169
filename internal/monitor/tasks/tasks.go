// Package tasks is what becomes of a task once it is accepted: its wait, its birth,
// its stop, its end, and what a next monitor makes of those that it finds. All that
// happens to a task walks through the table in package state; what the table says is
// done here, by a host of process trees. Everything here belongs to the loop.
package tasks

import (
	"context"
	"iter"
	"log"
	"syscall"
	"time"

	"deputy"
	"deputy/internal/monitor/birth"
	"deputy/internal/monitor/callers"
	"deputy/internal/monitor/clock"
	"deputy/internal/monitor/keeper"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/loop"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/process"
	"deputy/internal/monitor/queues"
	"deputy/internal/monitor/recheck"
	"deputy/internal/monitor/site"
	"deputy/internal/monitor/state"
	"deputy/internal/monitor/userdb"
)

// Host is where process trees live, watched: *process.Host. A tree is known by the
// name of its leaf.
type Host interface {
	ending
	finding
	ForeignExit(pid int, cgroup string, status process.WaitStatus) bool // takes the keeper's word
	Proof() string
}

// ending waits a moment for processes that do not stop.
type ending interface {
	Signal(leaf string, sig syscall.Signal) error
	Kill(leaf string) (killed int, err error)
	Hurry(leaf string) bool // the first process has ended, and the news is to come
	Survivors(leaf string) []deputy.Survivor
	Release(leaf string)
}

// finding is for what an earlier monitor has left.
type finding interface {
	Leaves() ([]string, error)
	Adopt(process.Attempt) error
	FindFirst(leaf string) (process.Attempt, bool)
	NeverBorn(leaf string) bool
	Newborn(leaf string) bool // it has not become its program yet
	Ours(leaf string) bool
}

// Births gives birth: *birth.Births.
type Births interface {
	Start(ctx context.Context, b birth.Birth) (process.Attempt, error)
	InTurn(account string, do func())
}

// Outputs are the files that tasks write: *output.Capper.
type Outputs interface {
	Add(dir string, limit int64) error
	Finish(dir string, limit int64, done func(stdout, stderr deputy.Output, err error))
	Beside(do func()) // what may be held up by whoever keeps an output locked
}

// Descriptors are pidfds that others keep, so that the end of a task is known
// though keeper and monitor die.
type Descriptors interface {
	Keep(leaf string, adopted bool)
	Forget(leaf string)
	ForgetStale(leaf string) // what an earlier monitor may have had kept
}

// Options are what tasks need.
type Options struct {
	State    *state.State
	Ledger   *ledger.Ledger
	Loop     *loop.Loop
	Log      *log.Logger
	Callers  *callers.Callers
	Users    *userdb.Database
	Policy   func() *policy.Policy // in force
	Paths    site.Paths
	Progress string // where tasks tell their progress; "": nowhere

	Host        Host
	Births      Births
	Outputs     Outputs
	Descriptors Descriptors

	Hold   func() bool       // nothing that waits begins: the monitor is to end
	Quiet  func()            // called when a birth is over, or nothing but records of ends is outstanding
	Scarce func()            // something was short: perhaps room can be made
	Done   func(keeper.Exit) // the keeper may forget it
	Left   func(t *state.Task, e *deputy.Event) (tidy func())

	Stepped func(state.Phase, state.Happening) // each step that a task makes; nil: nobody looks
}

// Tasks are those that live.
type Tasks struct {
	Options
	live    map[string]*Task
	Queues  *queues.Queues
	recheck *recheck.Checker
	births  int // under way
	found   Found
	queued  []*Task // found waiting, until Resume
}

// New knows none yet but those of the state.
func New(o Options) *Tasks {
	r := &Tasks{Options: o, live: map[string]*Task{}}
	r.Queues = r.newQueues()
	r.recheck = recheck.New(recheck.Options{Policy: o.Policy, Users: o.Users, Callers: o.Callers, Loop: o.Loop, InTurn: func(account string, do func()) { o.Births.InTurn(account, do) }})
	return r
}

// Task is a live task, and what it is to this monitor.
type Task struct {
	*state.Task
	live
}

// live is what a task is to this monitor alone; a restart makes it anew.
type live struct {
	intended bool         // the intent to start it is in the journal's hands
	expiry   *clock.Timer // of the time to be started in
	first    int64        // when it was accepted, ns of the boot clock; 0: it is not debounced
	due      int64        // when it may begin, the same
	ripens   *clock.Timer // at due
	deadline *clock.Timer
	grace    *clock.Timer
	linger   *clock.Timer // of what outlived the first process
	killed   *clock.Timer // looks for survivors of the kill
	survives bool         // there were some
	killing  int          // kills under way, whose count is still to come
	exited   bool         // exit is known

	giving      bool   // a birth is under way
	cancelBirth func() // of the birth under way, or the last: ends the wait for it
	empty       bool   // nothing of it lives
	exit        deputy.Exit
	began       time.Time // when the stop was ordered
	receipt     deputy.Receipt
	leftover    int
	told        []keeper.Exit   // what the keeper told of it, to be acknowledged at the end
	early       []process.Event // news that came before the birth was reported
	failure     string          // why its process could not be started
	barred      recheck.Bar     // why that was not tried
	recheck.Case
	tried    int64         // boot clock, ns: when a birth was first tried that found too little left; 0: none
	pause    time.Duration // until the next try
	waiters  []Waiter
	finished bool // nothing of it lives, and its end was handed to the ledger
	sent     bool // the stop signal was sent, or is about to be
	graceMS  int64
}

// Get gives a live task; nil: there is none of that id.
func (r *Tasks) Get(id string) *Task {
	known := r.State.Tasks[id]
	if known == nil {
		return nil
	}
	if t := r.live[id]; t != nil && t.Task == known {
		return t
	}
	t := &Task{Task: known}
	r.live[id] = t
	return t
}

// All gives every live task.
func (r *Tasks) All() iter.Seq[*Task] {
	return func(yield func(*Task) bool) {
		for id := range r.State.Tasks {
			if !yield(r.Get(id)) {
				return
			}
		}
	}
}

// Decided notes by which version of the user database a task was accepted.
func (r *Tasks) Decided(id string, names uint64) {
	if t := r.Get(id); t != nil {
		t.Names = names
		r.enter(t)
	}
}

// Accepted goes on with a task whose acceptance is durable. queued says whether it was
// accepted to wait: such a one may have begun meanwhile, by an intent of its own.
func (r *Tasks) Accepted(id string, queued bool) {
	switch t := r.Get(id); {
	case t == nil || queued && t.Phase != state.Queued:
	case queued:
		r.expire(t)
		r.debounce(t)
		r.goOn(t) // its lock, or a place, may have come free meanwhile
	default:
		r.startIntended(t)
	}
}

// Forget drops what was known of a task that was never accepted after all; refusal says
// so to whoever waits for its end.
func (r *Tasks) Forget(id string, refusal *deputy.Error) {
	r.Queues.Leave(id)
	if t := r.live[id]; t != nil {
		t.tell(0, nil, refusal)
	}
	delete(r.live, id)
}

// BirthsUnderWay is how many births have not ended.
func (r *Tasks) BirthsUnderWay() int { return r.births }

// Idle says whether nothing of any task lives; records of ends may be outstanding,
// which the next start makes.
func (r *Tasks) Idle() bool {
	for t := range r.All() {
		if !r.outstanding(t) {
			return false
		}
	}
	return true
}

// happen walks one step through the table and does what it says.
func (r *Tasks) happen(t *Task, h state.Happening) {
	if r.Stepped != nil {
		r.Stepped(t.Phase, h)
	}
	switch t.Happen(h) {
	case state.Impossible:
		r.Log.Printf("fault: task %s was %q when %q happened; it stays as it is", t.ID, t.Phase, h)
	case state.Watch:
		r.setDeadline(t)
		r.Descriptors.Keep(t.Leaf, false)
	case state.Signal:
		r.setDeadline(t)
		r.signal(t)
	case state.Hurry:
		if t.cancelBirth != nil { // otherwise no birth has begun, and none does
			t.cancelBirth()
		}
	case state.Shorten:
		r.shortenGrace(t)
	case state.Linger:
		r.letLinger(t)
	case state.Kill:
		r.kill(t)
	case state.Finish:
		r.finish(t)
	}
}
