package monitor

import (
	"slices"

	"deputy"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/state"
	"deputy/internal/monitor/tasks"
	"deputy/internal/wall"
)

// stopCall serves POST /v1/tasks/{id}/stop. The server has checked that the
// caller may see the task; who may stop it is decided here.
func (m *Monitor) stopCall(peer *wall.Peer, r *wall.Request, id policy.Identity) {
	t := m.tasks.Get(r.Task)
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
	told := m.tasks.Await(t, func(seq uint64, survives *deputy.Receipt, refusal *deputy.Error) {
		if refusal != nil {
			m.refuse(peer, r, refusal)
			return
		}
		m.answer(peer, r, seq, wall.Outcome{Tasks: []string{t.ID}, Survives: survives != nil, Receipt: survives, Rights: &rights})
	})
	if told {
		return
	}
	var grace *int64
	if r.GraceMS >= 0 {
		grace = &r.GraceMS
	}
	m.log.Printf("%s stops %s/%s task=%s", callerLabel(id), t.Module, t.Action, t.ID)
	m.tasks.Stop(t, tasks.Order{As: deputy.Stopped, Why: "stopped by " + string(id.Caller), Caller: id.Caller, EndUser: id.EndUser, Grace: grace})
}

func (m *Monitor) mayStop(t *tasks.Task, r *wall.Request, id policy.Identity) *deputy.Error {
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
		m.tasks.Stop(t, tasks.Order{
			As: deputy.Stopped, Why: "stopped by " + string(a.id.Caller) + " through " + a.plan.Action.Module + "/" + a.plan.Action.Name,
			Caller: a.id.Caller, EndUser: a.id.EndUser, Rule: a.plan.Rule,
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
func (a *admission) toStop() ([]*tasks.Task, *deputy.Error) {
	m := a.m
	var found []*tasks.Task
	var asked []policy.Stopped
	for i := range a.plan.Items {
		item := &a.plan.Items[i]
		use := a.use(item)
		for _, t := range []*state.Task{use.Holder, use.Waiting} {
			if t != nil && t.Action == a.plan.Action.Stops && (len(t.Parts) == 0 || slices.Equal(t.Parts, item.Lock)) && !slices.Contains(found, m.tasks.Get(t.ID)) {
				found = append(found, m.tasks.Get(t.ID))
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
