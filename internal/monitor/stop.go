package monitor

import (
	"slices"
	"syscall"
	"time"

	"deputy"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/state"
	"deputy/internal/wall"
)

// tellSurvivors is how long after the kill whoever waits is told what still lives.
const tellSurvivors = 5 * time.Second

// stopOrder is why and by whom a task is to be stopped.
type stopOrder struct {
	as      deputy.State // Stopped or TimedOut
	why     string
	caller  deputy.Caller
	endUser string
	rule    string
	grace   *int64 // ms; nil: as declared
}

// stopCall serves POST /v1/tasks/{id}/stop. The server has checked that the
// caller may see the task; who may stop it is decided here.
func (m *Monitor) stopCall(peer *wall.Peer, r *wall.Request, id policy.Identity) {
	t := m.task(r.Task)
	if t == nil { // it has ended, or never was: the server knows
		rights := m.policy.Rights(id)
		last := m.ledger.Last()
		m.ledger.WhenDurable(last, func(last uint64) { m.answer(peer, r, last, wall.Outcome{Tasks: []string{r.Task}, Rights: &rights}) },
			func(err *deputy.Error) { m.refuse(peer, r, err) })
		return
	}
	if refusal := m.mayStop(t, r, id); refusal != nil {
		m.denied(id, r, refusal)
		m.refuse(peer, r, refusal)
		return
	}
	rights := m.policy.Rights(id)
	t.waiters = append(t.waiters, func(seq uint64, survives *deputy.Receipt, refusal *deputy.Error) {
		if refusal != nil {
			m.refuse(peer, r, refusal)
			return
		}
		m.answer(peer, r, seq, wall.Outcome{Tasks: []string{t.ID}, Survives: survives != nil, Receipt: survives, Rights: &rights})
	})
	if m.outstanding(t) {
		m.tellOutstanding(t)
		return
	}
	var grace *int64
	if r.GraceMS >= 0 {
		grace = &r.GraceMS
	}
	m.log.Printf("%s stops %s/%s task=%s", callerLabel(id), t.Module, t.Action, t.ID)
	m.requestStop(t, stopOrder{as: deputy.Stopped, why: "stopped by " + string(id.Caller), caller: id.Caller, endUser: id.EndUser, grace: grace})
}

func (m *Monitor) mayStop(t *Task, r *wall.Request, id policy.Identity) *deputy.Error {
	rights := m.policy.Rights(id)
	// One that names an end user has what it asked for in that name alone.
	own := state.Reaches(id, t.Party())
	sees := own || t.JoinedBy(id) || rights.MayRead(t.Module, t.Action, t.Params)
	switch {
	case !sees && !rights.MayStop(t.Module, t.Action, t.Params):
		return deputy.Refuse(deputy.UnknownTask, "cannot stop task %.40q: there is no such task, or you may not see it", t.ID)
	case !own && !rights.MayStop(t.Module, t.Action, t.Params):
		e := deputy.Refuse(deputy.NotAllowed, "%s may not stop task %s: it was asked for by another; a rule for %s/%s with stop = true would allow it", id, t.ID, t.Module, t.Action)
		e.Task = t.ID
		return e
	case !t.Terms.Stoppable && !(r.Force && rights.Operator):
		e := deputy.Refuse(deputy.NotStoppable, "cannot stop task %s: %s/%s is declared stoppable = false; an operator can with: deputy stop --force %s", t.ID, t.Module, t.Action, t.ID)
		e.Task = t.ID
		return e
	}
	return nil
}

// stops serves an action that stops another's tasks: those live ones that hold
// the locks of its items.
func (a *admission) stops() {
	m := a.m
	e := a.event()
	found, refusal := a.toStop()
	if refusal != nil {
		m.denied(a.id, a.r, refusal)
		m.refuse(a.peer, a.r, refusal)
		return
	}
	fresh := false // one of them is not being stopped yet
	ids := make([]string, len(found))
	for i, t := range found {
		ids[i] = t.ID
		fresh = fresh || t.StopAs == "" && !t.Ending && t.Phase != state.Over
	}
	e.Rule, e.IDs = a.plan.Rule, ids
	refusal = m.affordable(a.id.Caller, m.set.Config.Default, 0, 0, a.r.Key != "")
	if refusal == nil && !fresh { // then there is nothing that a full disk must not keep it from
		refusal = m.ledger.Refuse("stop what is not running, or is being stopped")
	}
	if refusal != nil {
		m.refuse(a.peer, a.r, refusal)
		return
	}
	m.ledger.Record(e, ledger.After{})
	for _, t := range found {
		m.requestStop(t, stopOrder{
			as: deputy.Stopped, why: "stopped by " + string(a.id.Caller) + " through " + a.plan.Action.Module + "/" + a.plan.Action.Name,
			caller: a.id.Caller, endUser: a.id.EndUser, rule: a.plan.Rule,
		})
	}
	if m.ledger.Failed() != nil {
		m.refuse(a.peer, a.r, m.ledger.Outstanding("the tasks are being stopped"))
		return
	}
	m.ledger.WhenRecorded(func(last uint64) {
		m.logAccepted(e, a.plan, ids)
		a.answer(last, wall.Outcome{Tasks: ids})
	}, func(err *deputy.Error) { m.refuse(a.peer, a.r, err) })
}

// toStop finds the tasks that hold or await the locks of the items, and the rule
// by which this caller may stop them all.
func (a *admission) toStop() ([]*Task, *deputy.Error) {
	m := a.m
	var found []*Task
	var asked []policy.Stopped
	for i := range a.plan.Items {
		item := &a.plan.Items[i]
		use := a.use(item)
		for _, t := range []*state.Task{use.Holder, use.Waiting} {
			if t != nil && t.Action == a.plan.Action.Stops && (len(t.Parts) == 0 || slices.Equal(t.Parts, item.Lock)) && !slices.Contains(found, m.task(t.ID)) {
				found = append(found, m.task(t.ID))
				asked = append(asked, policy.Stopped{Params: t.Params, Exact: len(t.Parts) > 0})
			}
		}
	}
	rule, refusal := m.policy.Stops(a.plan, asked)
	if refusal != nil {
		return nil, refusal
	}
	a.plan.Rule = rule
	for _, t := range found {
		if !t.Terms.Stoppable {
			refusal := deputy.Refuse(deputy.NotStoppable, "cannot stop task %s: %s/%s is declared stoppable = false", t.ID, t.Module, t.Action)
			refusal.Task = t.ID
			return nil, refusal
		}
	}
	return found, nil
}

// requestStop records that a task is to be stopped, and does it once that is
// durable; with a journal that cannot be written it does it at once. Asking
// again can only shorten the grace period.
func (m *Monitor) requestStop(t *Task, o stopOrder) {
	if t.Ending || t.Phase == state.Over {
		return
	}
	if t.StopAs != "" {
		t.shorten(o.grace)
		if t.sent {
			m.happen(t, state.Stop)
		}
		return
	}
	if t.exited { // it has ended by itself; what it left over is killed already, or now
		if t.Phase == state.Lingering {
			m.happen(t, state.Stop)
		}
		return
	}
	if t.Phase == state.Running && m.host.Hurry(t.Leaf) { // the same, and the news is to come
		return
	}
	t.graceMS = t.Terms.GraceMS
	t.shorten(o.grace)
	t.began = time.Now()
	e := &deputy.Event{
		Type: deputy.StopRequested, Task: t.ID, State: o.as, Reason: o.why, Caller: o.caller, EndUser: o.endUser, Rule: o.rule,
	}
	again := state.Stop
	if o.as == deputy.TimedOut {
		again = state.Deadline
	}
	stopping := func() {
		if !t.sent {
			t.sent = true
			m.happen(t, again)
		}
	}
	m.ledger.Record(e, ledger.After{Durable: stopping, Outstanding: stopping})
	t.StopAs, t.StopWhy = o.as, o.why // what is not recorded yet counts all the same: see record
	if m.ledger.Failed() != nil {
		stopping()
	}
}

// shorten makes the grace period of a stop shorter, never longer.
func (t *Task) shorten(ms *int64) {
	if ms != nil && *ms < t.graceMS {
		t.graceMS = *ms
	}
}

// signalTask sends the stop signal to the whole tree, and lets the grace period
// run. A grace of nothing kills at once.
func (m *Monitor) signalTask(t *Task) {
	if t.began.IsZero() { // a stop that an earlier monitor had recorded
		t.began, t.graceMS = time.Now(), t.Terms.GraceMS
	}
	if t.graceMS > 0 {
		sig := syscall.Signal(t.Terms.Signal)
		t.receipt.Signalled = true
		leaf := t.Leaf
		m.loop.Act(func() {
			if err := m.host.Signal(leaf, sig); err != nil {
				m.post(func() { m.log.Printf("cannot signal task %s: %v", t.ID, err) })
			}
		})
	}
	t.grace = m.loop.After(time.Duration(t.graceMS)*time.Millisecond, func() { m.happen(t, state.GraceOver) })
}

func (m *Monitor) shortenGrace(t *Task) {
	if t.grace == nil {
		return // the signal is still to come, with the new period
	}
	m.loop.Cancel(t.grace)
	left := time.Until(t.began.Add(time.Duration(t.graceMS) * time.Millisecond))
	t.grace = m.loop.After(max(0, left), func() { m.happen(t, state.GraceOver) })
}

// killTask kills all that lives of a task; that nothing does is told by the
// host's event.
func (m *Monitor) killTask(t *Task) {
	m.loop.Cancel(t.linger)
	leaf := t.Leaf
	t.killing++
	m.loop.Act(func() {
		killed, err := m.host.Kill(leaf)
		m.post(func() {
			if err != nil {
				m.log.Printf("cannot kill task %s: %v", t.ID, err)
			}
			t.countKilled(killed)
			t.killing--
			m.settle(t)
		})
	})
	t.killed = m.loop.After(tellSurvivors, func() { m.tellSurvivors(t) })
}

// tellSurvivors answers those who wait for a stop when something could not be
// killed: a process in an uninterruptible sleep, say. It looks again for who asks later.
func (m *Monitor) tellSurvivors(t *Task) {
	if t.Phase != state.Killing {
		return
	}
	t.killed = m.loop.After(tellSurvivors, func() { m.tellSurvivors(t) })
	survivors := m.host.Survivors(t.Leaf)
	if len(survivors) == 0 {
		return
	}
	receipt := t.receipt
	receipt.TookMS, receipt.Proof, receipt.Survivors = time.Since(t.began).Milliseconds(), m.host.Proof(), survivors
	if !t.survives {
		t.survives = true
		m.log.Printf("task %s: %d processes still live %v after they were killed, the first is %d (%s, state %s)",
			t.ID, len(survivors), tellSurvivors, survivors[0].PID, survivors[0].Comm, survivors[0].State)
	}
	for _, wait := range t.waiters {
		wait(m.journal.Durable(), &receipt, nil)
	}
	t.waiters = nil
}
