package monitor

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"deputy"
	"deputy/internal/monitor/clock"
	"deputy/internal/monitor/keeper"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/process"
	"deputy/internal/monitor/sockets"
	"deputy/internal/monitor/state"
)

// Task is a live task, and what it is to this monitor.
type Task struct {
	*state.Task
	live
}

// task gives a live task; nil: there is none of that id.
func (m *Monitor) task(id string) *Task {
	known := m.state.Tasks[id]
	if known == nil {
		return nil
	}
	if t := m.tasks[id]; t != nil && t.Task == known {
		return t
	}
	t := &Task{Task: known}
	m.tasks[id] = t
	return t
}

// all gives every live task.
func (m *Monitor) all() iter.Seq[*Task] {
	return func(yield func(*Task) bool) {
		for id := range m.state.Tasks {
			if !yield(m.task(id)) {
				return
			}
		}
	}
}

// live is what a task is to this monitor alone; a restart makes it anew.
type live struct {
	intended bool         // the intent to start it is in the journal's hands
	expiry   *clock.Timer // of the time to be started in
	deadline *clock.Timer
	grace    *clock.Timer
	linger   *clock.Timer // of what outlived the first process
	killed   *clock.Timer // looks for survivors of the kill
	survives bool         // there were some
	killing  int          // kills under way, whose count is still to come
	exited   bool         // exit is known

	cancelBirth func() // of the birth under way, or the last: ends the wait for it
	empty       bool   // nothing of it lives
	exit        deputy.Exit
	began       time.Time // when the stop was ordered
	receipt     deputy.Receipt
	leftover    int
	told        []keeper.Exit   // what the keeper told of it, to be acknowledged at the end
	early       []process.Event // news that came before the birth was reported
	failure     string          // why its process could not be started
	names       uint64          // version of the user database when it was accepted; 0: by an earlier monitor
	rejudged    *rejudged       // nil: that was not asked
	judging     bool            // it is being asked
	tried       int64           // boot clock, ns: when a birth was first tried that found too little left; 0: none
	pause       time.Duration   // until the next try
	waiters     []func(seq uint64, survives *deputy.Receipt, refusal *deputy.Error)

	finished bool // nothing of it lives, and its end was handed to the ledger
	sent     bool // the stop signal was sent, or is about to be
	graceMS  int64
}

// happen walks one step through the table and does what it says.
func (m *Monitor) happen(t *Task, h state.Happening) {
	switch t.Happen(h) {
	case state.Impossible:
		m.log.Printf("fault: task %s was %q when %q happened; it stays as it is", t.ID, t.Phase, h)
	case state.Watch:
		m.setDeadline(t)
		m.keepPidfd(t, false)
	case state.Signal:
		m.setDeadline(t)
		m.signalTask(t)
	case state.Hurry:
		if t.cancelBirth != nil { // otherwise no birth has begun, and none does
			t.cancelBirth()
		}
	case state.Shorten:
		m.shortenGrace(t)
	case state.Linger:
		m.letLinger(t)
	case state.Kill:
		m.killTask(t)
	case state.Finish:
		m.finishTask(t)
	}
}

// beginQueued starts a task that has waited, if its lock is free now and the
// policy in force still allows it. The intent is durable before the start. While
// nothing new is recorded it waits on: see goOn.
func (m *Monitor) beginQueued(t *Task) {
	if t.Phase != state.Queued || t.intended || m.leaving || m.ending.Load() || m.ledger.Unwritable() != nil || t.Lock != nil && m.state.LockOf(t.Task).Holder != t.Task {
		return
	}
	if m.unsettled(t) && m.retry(t, func() { m.beginQueued(t) }) {
		return
	}
	why, asked := m.stillAllowed(t, func() { m.beginQueued(t) })
	switch {
	case asked:
		return
	case why != "":
		t.failure = why
		m.happen(t, state.Barred)
		return
	}
	t.tried = 0
	m.loop.Cancel(t.expiry)
	e := &deputy.Event{Type: deputy.StartIntended, Task: t.ID, Attempt: t.Attempt + 1, Policy: m.set.Digest}
	t.intended = true
	m.ledger.Record(e, ledger.After{Durable: func() { m.startIntended(t) }})
}

// startIntended starts a task whose intent has become durable, unless a stop
// came in between.
func (m *Monitor) startIntended(t *Task) {
	if t.Phase == state.Starting {
		m.startTask(t)
	} else {
		m.happen(t, state.Stillborn)
	}
}

// rejudged is what the policy says of a task that has waited.
type rejudged struct {
	by    *policy.Policy
	names uint64 // version of the user database
	why   string // why it may not be started; "": it may
}

// stillAllowed says why a task may not be started any more: it is too late, or
// the policy in force, or who has the names in it, is not what it was accepted
// under and forbids it; "" if it may. What has to be found out for that is found
// beside the loop; asked: it is, and again is called then.
func (m *Monitor) stillAllowed(t *Task, again func()) (why string, asked bool) {
	if why := m.late(t); why != "" {
		return why, false
	}
	module, names := m.set.Modules[t.Module], m.users.Version()
	id := t.identity(m)
	if t.Policy == m.set.Digest && (t.names == 0 || t.names == names) && len(id.GIDs) == len(t.Terms.GIDs) {
		return "", false
	}
	if module == nil || module.Digest != t.Terms.Manifest {
		return "it was not started: its manifest was changed while it waited", false
	}
	if r := t.rejudged; r != nil && r.by == m.policy && r.names == names && !t.judging {
		return r.why, false
	}
	if t.judging { // it goes on by itself
		return "", true
	}
	r, params := &rejudged{by: m.policy, names: names}, t.Params
	t.judging = true
	account := string(m.account(t.Caller))
	go func() {
		m.preparing.enter(context.Background(), account, nil)
		if _, _, refusal := r.by.Recheck(id, t.Module, t.Action, params); refusal != nil { // which never change
			r.why = "it was not started: it is not allowed any more: " + refusal.Detail
		}
		m.preparing.leave()
		m.post(func() {
			t.rejudged, t.judging = r, false
			again()
		})
	}()
	return "", true
}

func (t *Task) identity(m *Monitor) policy.Identity {
	id := policy.Identity{Caller: t.Caller, UID: t.Terms.UID, GIDs: t.Terms.GIDs, GroupSIDs: t.Terms.GroupSIDs, Name: m.nameOf(t.Caller), EndUser: t.EndUser}
	m.reduce(&id)
	return id
}

// startTask has a worker start a task whose intent is durable. The worker gets
// all it needs by value: the task itself belongs to the loop.
func (m *Monitor) startTask(t *Task) {
	var action *manifest.Action
	if module := m.set.Modules[t.Module]; module != nil {
		action = module.Actions[t.Action]
	}
	if m.unsettled(t) && m.retryBirth(t) {
		return
	}
	why, asked := m.stillAllowed(t, func() { m.startIntended(t) })
	if asked {
		return
	}
	if why != "" || action == nil {
		t.failure = why
		m.happen(t, state.Stillborn)
		return
	}
	now, why := m.policy.Now(action)
	if why != "" {
		if m.users.View().Unknown(action.RunsAs) && m.retryBirth(t) {
			return
		}
		t.failure = "it was not started: " + why
		m.happen(t, state.Stillborn)
		return
	}
	b := &birth{
		m: m, action: now, id: t.ID, params: t.Params, secret: t.Terms.Secret, oneFile: t.Terms.OneFile, outputCap: t.Terms.Cap,
		linger: time.Duration(t.Terms.LingerMS) * time.Millisecond,
		leaf:   attemptLeaf(t.ID, t.Attempt),
		context: policy.Context{
			Task: t.ID, Attempt: t.Attempt, Caller: t.Caller, EndUser: t.EndUser, NotifySocket: m.progressSocket(),
		},
		serverGID: m.warden.User().GID, account: string(m.account(t.Caller)),
	}
	m.births++
	ctx, cancel := context.WithCancel(context.Background())
	t.cancelBirth = cancel
	// Not a worker: a birth may take as long as what it touches takes to answer.
	go func() {
		defer cancel()
		attempt, err := b.start(ctx)
		m.post(func() {
			m.births--
			if !errors.Is(err, errEnding) {
				m.started(t, attempt, err)
			}
			m.endIfQuiet()
		})
	}()
}

// started goes on after a birth, or its failure.
func (m *Monitor) started(t *Task, attempt process.Attempt, err error) {
	if err != nil && scarce(err) {
		m.storage.look() // perhaps it can make room
		if m.retryBirth(t) {
			return
		}
		err = shortage(err)
	}
	if err != nil {
		t.failure = "cannot start: " + strings.TrimPrefix(err.Error(), "cannot start: ")
	}
	hangs := errors.Is(err, process.ErrNotExecuted)
	if err != nil && !hangs {
		switch {
		case errors.Is(err, process.ErrNotFound):
			t.exit = deputy.Exit{Code: new(127)}
		case errors.Is(err, process.ErrNotExecutable):
			t.exit = deputy.Exit{Code: new(126)}
		}
		m.happen(t, state.Stillborn)
		return
	}
	m.ledger.Record(&deputy.Event{
		Type: deputy.Started, Task: t.ID, Attempt: t.Attempt,
		PID: attempt.PID, Leaf: attempt.Leaf, Boot: m.loop.Boot, BootNS: attempt.BootNS,
	}, ledger.After{})
	t.PID, t.Leaf, t.Boot, t.BootNS = attempt.PID, attempt.Leaf, m.loop.Boot, attempt.BootNS
	m.happen(t, state.Born)
	if hangs {
		m.happen(t, state.Hung)
	}
	early := t.early
	t.early = nil
	for _, e := range early {
		m.news(t, e)
	}
}

// setDeadline lets the task's time run out on the boot clock, from its birth.
func (m *Monitor) setDeadline(t *Task) {
	if t.Terms.TimeoutMS > 0 && t.deadline == nil {
		t.deadline = m.loop.At(t.BootNS+t.Terms.TimeoutMS*int64(time.Millisecond), func() {
			m.requestStop(t, stopOrder{as: deputy.TimedOut, why: fmt.Sprintf("its time of %v was over", time.Duration(t.Terms.TimeoutMS)*time.Millisecond)})
		})
	}
}

// progressSocket is where a task may tell its progress; "": nowhere.
func (m *Monitor) progressSocket() string {
	if !sockets.TakesProgress {
		return ""
	}
	return m.o.Paths.Notify
}
