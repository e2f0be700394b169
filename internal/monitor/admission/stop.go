package admission

import (
	"slices"

	"deputy"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/state"
	"deputy/internal/monitor/tasks"
	"deputy/internal/wall"
)

// A task is stopped by who may: whoever asked for it, an operator, or whom a rule lets.
// An action that stops others' tasks stops all that it names, or none. A stop needs no
// room in the journal: what cannot be recorded is done all the same.

// Stop serves POST /v1/tasks/{id}/stop. The server has checked that the
// caller may see the task; who may stop it is decided here.
func (ad *Admission) Stop(r *wall.Request, id policy.Identity, reply Reply) {
	t := ad.Tasks.Get(r.Task)
	if t == nil { // it has ended, or never was: the server knows
		rights := ad.Policy().Rights(id)
		last := ad.Ledger.Last()
		ad.Ledger.WhenDurable(last, func(last uint64) { reply.Answer(last, wall.Outcome{Tasks: []string{r.Task}, Rights: &rights}) },
			func(err *deputy.Error) { reply.Refuse(0, err) })
		return
	}
	if refusal := ad.mayStop(t, r, id); refusal != nil {
		ad.Denied(id, r, refusal)
		reply.Refuse(0, refusal)
		return
	}
	rights := ad.Policy().Rights(id)
	told := ad.Tasks.Await(t, func(seq uint64, survives *deputy.Receipt, refusal *deputy.Error) {
		if refusal != nil {
			reply.Refuse(0, refusal)
			return
		}
		reply.Answer(seq, wall.Outcome{Tasks: []string{t.ID}, Survives: survives != nil, Receipt: survives, Rights: &rights})
	})
	if told {
		return
	}
	var grace *int64
	if r.GraceMS >= 0 {
		grace = &r.GraceMS
	}
	ad.Log.Printf("%s stops %s/%s task=%s", Label(id), t.Module, t.Action, t.ID)
	ad.Tasks.Stop(t, tasks.Order{As: deputy.Stopped, Why: "stopped by " + string(id.Caller), Caller: id.Caller, EndUser: id.EndUser, Grace: grace})
}

func (ad *Admission) mayStop(t *tasks.Task, r *wall.Request, id policy.Identity) *deputy.Error {
	rights := ad.Policy().Rights(id)
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
	ad := a.ad
	e := a.event()
	found, refusal := a.toStop()
	if refusal != nil {
		ad.Denied(a.id, a.r, refusal)
		a.reply.Refuse(0, refusal)
		return
	}
	fresh := false // one of them is not being stopped yet
	ids := make([]string, len(found))
	for i, t := range found {
		ids[i] = t.ID
		fresh = fresh || t.StopAs == "" && !t.Ending && t.Phase != state.Over
	}
	e.Rule, e.IDs = a.plan.Rule, ids
	refusal = ad.affordable(a.id.Caller, ad.Policy().Set().Config.Default, 0, 0, a.r.Key != "")
	if refusal == nil && !fresh { // then there is nothing that a full disk must not keep it from
		refusal = ad.Ledger.Refuse("stop what is not running, or is being stopped")
	}
	if refusal != nil {
		a.reply.Refuse(0, refusal)
		return
	}
	ad.Ledger.Record(e, ledger.After{})
	for _, t := range found {
		ad.Tasks.StopFor(t, state.OrderOf(e))
	}
	if ad.Ledger.Failed() != nil {
		a.reply.Refuse(0, ad.Ledger.Outstanding("the tasks are being stopped"))
		return
	}
	ad.Ledger.WhenRecorded(func(last uint64) {
		ad.logAccepted(e, a.plan, ids)
		a.reply.Answer(last, wall.Outcome{Tasks: ids})
	}, func(err *deputy.Error) { a.reply.Refuse(0, err) })
}

// toStop finds the tasks that hold or await the locks of the items, and the rule
// by which this caller may stop them all.
func (a *admission) toStop() ([]*tasks.Task, *deputy.Error) {
	ad := a.ad
	var found []*tasks.Task
	var asked []policy.Stopped
	for i := range a.plan.Items {
		item := &a.plan.Items[i]
		use := a.use(item)
		for _, t := range use.All() {
			if t.Action == a.plan.Action.Stops && (len(t.Parts) == 0 || slices.Equal(t.Parts, item.Lock)) && !slices.Contains(found, ad.Tasks.Get(t.ID)) {
				found = append(found, ad.Tasks.Get(t.ID))
				asked = append(asked, policy.Stopped{Params: t.Params, Exact: len(t.Parts) > 0})
			}
		}
	}
	rule, refusal := ad.Policy().Stops(a.plan, asked)
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
