package admission

import (
	"deputy"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/policy"
	"deputy/internal/wall"
	"time"
)

// No caller fills the journal with what it is refused: of each account a few denials an
// hour are recorded one by one, the others by their number. None is lost without being
// counted.

// denials counts what each account was refused, so that it cannot fill the journal.
type denials map[deputy.Caller]*denied

type denied struct {
	since  time.Time
	count  int
	hidden int // not recorded one by one
}

const (
	denialsEach = 100 // recorded one by one
	denialsSpan = time.Hour
)

// note counts a denial; it says whether to record it, and how many earlier ones
// are to be recorded by number.
func (d denials) note(c deputy.Caller, now time.Time) (record bool, hidden int) {
	n := d[c]
	if n == nil || now.Sub(n.since) > denialsSpan {
		if n != nil {
			hidden = n.hidden
		}
		n = &denied{since: now}
		d[c] = n
	}
	if n.count++; n.count > denialsEach {
		n.hidden++
		return false, 0
	}
	return true, hidden
}

// hide counts denials that were not recorded after all: by number, later.
func (d denials) hide(c deputy.Caller, count int) { d[c].hidden += count }

// over gives the numbers whose hour is over.
func (d denials) over(now time.Time) map[deputy.Caller]int {
	over := map[deputy.Caller]int{}
	for c, n := range d {
		if now.Sub(n.since) > denialsSpan {
			if n.hidden > 0 {
				over[c] = n.hidden
			}
			delete(d, c)
		}
	}
	return over
}

// Denied records a refusal for want of a rule, and logs it. Of what only asks it is none.
func (ad *Admission) Denied(id policy.Identity, r *wall.Request, refusal *deputy.Error) {
	if refusal.Code != deputy.NotAllowed || r.Kind.Reads() {
		return
	}
	account := ad.Callers.Account(id.Caller)
	record, hidden := ad.denials.note(account, time.Now())
	if !record {
		return
	}
	what := r.Module + "/" + r.Action
	if r.Kind == wall.Stop {
		what = "stop of task " + r.Task
	}
	ad.Log.Printf("%s %s denied: %s", Label(id), what, refusal.Detail)
	if ad.Ledger.Unwritable() != nil {
		ad.denials.hide(account, hidden+1)
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
		for caller, count := range ad.denials.over(time.Now()) {
			ad.Ledger.Record(&deputy.Event{Type: deputy.Denied, Caller: caller, Code: deputy.NotAllowed, Count: count,
				Reason: "more denials like those recorded before, of this caller and of those whose limits are the same"}, ledger.After{})
		}
	}
	ad.Loop.After(denialsSpan/6, ad.RecordHidden)
}
