package admission

import (
	"deputy"
	"deputy/internal/monitor/callers"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/turns"
	"time"
)

// What is refused here is refused for want of room or of turns, never for want of a
// rule, and before anything is recorded of it. Each refusal says when, or after what, to
// come back.

// tooOften refuses a request beyond its caller's rates.
func (ad *Admission) tooOften(c deputy.Caller, a *manifest.Action) *deputy.Error {
	now, account := time.Now(), ad.Callers.Account(c)
	all := ad.Policy().Set().Config.Default.Rate
	if wait := ad.budgets.Take(turns.Budget{Caller: account}, all, now); wait > 0 {
		return turns.ComeBack(wait, "cannot accept: %s asks more than %s ([defaults] per_caller.rate)", callers.Named(c, account), all)
	}
	if a.Rate == (manifest.Rate{}) {
		return nil
	}
	if wait := ad.budgets.Take(turns.Budget{Caller: account, Action: a.Module + "/" + a.Name}, a.Rate, now); wait > 0 {
		return turns.ComeBack(wait, "cannot accept: %s asks for %s/%s more than %s (its rate)", callers.Named(c, account), a.Module, a.Name, a.Rate)
	}
	return nil
}

// maxKeys bounds what one caller's keys may cost the monitor's memory.
const maxKeys = 100_000

// affordable refuses what would be too much for one caller.
func (ad *Admission) affordable(c deputy.Caller, d manifest.Defaults, fresh, joins int, withKey bool) *deputy.Error {
	account := ad.Callers.Account(c)
	u, who := ad.Callers.UseOf(ad.State, account), callers.Named(c, account)
	if fresh > 0 && u.Live+fresh > d.Live {
		e := deputy.Refuse(deputy.RateLimited,
			"cannot accept: %s has %d live tasks, of at most %d ([defaults] per_caller.live); wait until some have ended", who, u.Live, d.Live)
		e.RetryAfter = 1
		return e
	}
	if refusal := ad.crowded(fresh); fresh > 0 && refusal != nil {
		return refusal
	}
	if joins > 0 && u.Joins+joins > maxJoins {
		e := deputy.Refuse(deputy.RateLimited, "cannot accept: %s has joined %d live tasks, each end user counted, of at most %d; wait until some have ended", who, u.Joins, maxJoins)
		e.RetryAfter = 1
		return e
	}
	if withKey && u.Keys >= maxKeys {
		e := deputy.Refuse(deputy.RateLimited, "cannot accept: %s has used %d idempotency keys in a day; they live for 24 hours", who, u.Keys)
		e.RetryAfter = 3600
		return e
	}
	return nil
}

// Refusing is why any task would be refused now; nil: it would not.
func (ad *Admission) Refusing() *deputy.Error {
	if refusal := ad.recordable(); refusal != nil {
		return refusal
	}
	return ad.crowded(1)
}

// recordable refuses what cannot be made durable now, or could not run.
func (ad *Admission) recordable() *deputy.Error {
	if refusal := ad.Ledger.Refuse("accept"); refusal != nil {
		return refusal
	}
	if full := ad.Full(); full != "" {
		e := deputy.Refuse(deputy.NotDurable, "cannot accept: %s; nothing was started, the administrator can make room or change [storage] in deputy.toml", full)
		e.RetryAfter = 10
		return e
	}
	return nil
}

// crowded refuses new tasks where no descriptor would be left to watch them by.
func (ad *Admission) crowded(fresh int) *deputy.Error {
	if len(ad.State.Tasks)+fresh <= ad.MaxTasks() {
		return nil
	}
	e := deputy.Refuse(deputy.NotDurable,
		"cannot accept: %d tasks live, and the limit of open files allows %d; nothing was started, wait until some have ended, or the administrator raises the limit (LimitNOFILE, ulimit -n)",
		len(ad.State.Tasks), ad.MaxTasks())
	e.RetryAfter = 1
	return e
}

// drains refuses what would start something.
func drains() *deputy.Error {
	e := deputy.Refuse(deputy.NotDurable,
		"cannot accept: deputy is draining, it takes nothing new; nothing was started, and an operator ends the drain with: deputy drain --off")
	e.RetryAfter = 60
	return e
}
