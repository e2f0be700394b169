package admission

import (
	"deputy"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/turns"
	"deputy/internal/wall"
	"time"
)

// No caller fills the journal with what it is refused: of each account a few denials an
// hour are recorded one by one, the others by their number. None is lost without being
// counted.

// Denied records a refusal for want of a rule, and logs it. Of what only asks it is none.
func (ad *Admission) Denied(id policy.Identity, r *wall.Request, refusal *deputy.Error) {
	if refusal.Code != deputy.NotAllowed || r.Kind.Reads() {
		return
	}
	account := ad.Callers.Account(id.Caller)
	record, hidden := ad.denials.Note(account, time.Now())
	if !record {
		return
	}
	what := r.Module + "/" + r.Action
	if r.Kind == wall.Stop {
		what = "stop of task " + r.Task
	}
	ad.Log.Printf("%s %s denied: %s", Label(id), what, refusal.Detail)
	if ad.Ledger.Unwritable() != nil {
		ad.denials.Hide(account, hidden+1)
		return
	}
	ad.Ledger.Record(&deputy.Event{
		Type: deputy.Denied, Caller: id.Caller, EndUser: id.EndUser, Module: r.Module, Action: r.Action, Task: r.Task,
		Code: refusal.Code, Reason: refusal.Detail, Count: hidden,
	}, ledger.After{})
}

// RecordHidden records by number the denials that were too many to be recorded
// one by one, once their hour is over.
func (ad *Admission) RecordHidden() {
	if ad.Ledger.Unwritable() == nil {
		for caller, count := range ad.denials.Over(time.Now()) {
			ad.Ledger.Record(&deputy.Event{Type: deputy.Denied, Caller: caller, Code: deputy.NotAllowed, Count: count,
				Reason: "more denials like those recorded before, of this caller and of those whose limits are the same"}, ledger.After{})
		}
	}
	ad.Loop.After(turns.DenialsSpan/6, ad.RecordHidden)
}
