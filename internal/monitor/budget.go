package monitor

import (
	"math"
	"time"

	"deputy"
	"deputy/internal/monitor/callers"
	"deputy/internal/monitor/manifest"
)

// budgets holds how fast each caller asks, in all and for each action that has
// a rate: token buckets, as deep as the rate's number. No journal knows them.
type budgets map[budget]*bucket

type budget struct {
	caller deputy.Caller
	action string // "module/action"; empty: whatever it asks for
}

type bucket struct {
	tokens float64
	at     time.Time // when tokens was right
	full   time.Time // when it will be full again
}

// take spends one request, or says after how many seconds to come back.
func (b budgets) take(of budget, rate manifest.Rate, now time.Time) (wait int) {
	depth, second := float64(rate.Number), float64(rate.Number)/rate.Span.Seconds()
	k := b[of]
	if k == nil {
		b.forgetFull(now)
		k = &bucket{tokens: depth, at: now}
		b[of] = k
	}
	k.tokens = math.Min(depth, k.tokens+second*now.Sub(k.at).Seconds())
	k.at = now
	if k.tokens >= 1 {
		k.tokens--
	} else {
		wait = int(math.Ceil((1 - k.tokens) / second))
	}
	k.full = now.Add(time.Duration((depth - k.tokens) / second * float64(time.Second)))
	return wait
}

// forgetFull drops what says no more than that nothing was asked for long.
func (b budgets) forgetFull(now time.Time) {
	if len(b) < 1024 {
		return
	}
	for of, k := range b {
		if now.After(k.full) {
			delete(b, of)
		}
	}
}

// tooOften refuses a request beyond its caller's rates.
func (m *Monitor) tooOften(c deputy.Caller, a *manifest.Action) *deputy.Error {
	now, account := time.Now(), m.callers.Account(c)
	all := m.set.Config.Default.Rate
	if wait := m.budgets.take(budget{caller: account}, all, now); wait > 0 {
		return comeBack(wait, "cannot accept: %s asks more than %s ([defaults] per_caller.rate)", callers.Named(c, account), all)
	}
	if a.Rate == (manifest.Rate{}) {
		return nil
	}
	if wait := m.budgets.take(budget{account, a.Module + "/" + a.Name}, a.Rate, now); wait > 0 {
		return comeBack(wait, "cannot accept: %s asks for %s/%s more than %s (its rate)", callers.Named(c, account), a.Module, a.Name, a.Rate)
	}
	return nil
}

func comeBack(seconds int, format string, args ...any) *deputy.Error {
	e := deputy.Refuse(deputy.RateLimited, format+"; ask again in %d s", append(args, seconds)...)
	e.RetryAfter = seconds
	return e
}

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

// maxKeys bounds what one caller's keys may cost the monitor's memory.
const maxKeys = 100_000

// affordable refuses what would be too much for one caller.
func (m *Monitor) affordable(c deputy.Caller, d manifest.Defaults, fresh, joins int, withKey bool) *deputy.Error {
	account := m.callers.Account(c)
	u, who := m.callers.UseOf(m.state, account), callers.Named(c, account)
	if fresh > 0 && u.Live+fresh > d.Live {
		e := deputy.Refuse(deputy.RateLimited,
			"cannot accept: %s has %d live tasks, of at most %d ([defaults] per_caller.live); wait until some have ended", who, u.Live, d.Live)
		e.RetryAfter = 1
		return e
	}
	if refusal := m.crowded(fresh); fresh > 0 && refusal != nil {
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

// recordable refuses what cannot be made durable now, or could not run.
func (m *Monitor) recordable() *deputy.Error {
	if refusal := m.ledger.Refuse("accept"); refusal != nil {
		return refusal
	}
	if full := m.space.Full(); full != "" {
		e := deputy.Refuse(deputy.NotDurable, "cannot accept: %s; nothing was started, the administrator can make room or change [storage] in deputy.toml", full)
		e.RetryAfter = 10
		return e
	}
	return nil
}
