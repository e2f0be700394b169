package monitor

import (
	"math"
	"time"

	"deputy"
	"deputy/internal/monitor/manifest"
)

// budgets holds how fast each caller asks: a token bucket of one second's depth.
type budgets map[deputy.Caller]*bucket

type bucket struct {
	tokens float64
	at     time.Time
}

// take spends n requests' worth, or says after how many seconds to come back.
func (b budgets) take(c deputy.Caller, rate float64, now time.Time) (wait int) {
	k := b[c]
	if k == nil {
		b.forgetFull(rate, now)
		k = &bucket{tokens: math.Max(rate, 1), at: now}
		b[c] = k
	}
	k.tokens = math.Min(math.Max(rate, 1), k.tokens+rate*now.Sub(k.at).Seconds())
	k.at = now
	if k.tokens < 1 {
		return int(math.Ceil((1 - k.tokens) / rate))
	}
	k.tokens--
	return 0
}

// forgetFull drops callers that have not asked for long: their buckets are full.
func (b budgets) forgetFull(rate float64, now time.Time) {
	if len(b) < 1024 {
		return
	}
	for c, k := range b {
		if now.Sub(k.at) > time.Minute {
			delete(b, c)
		}
	}
}

// denials counts what each caller was refused, so that it cannot fill the journal.
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

// names remembers user names for messages, for a minute each.
type names map[uint32]nameOf

type nameOf struct {
	name string
	at   time.Time
}

func (n names) of(uid uint32) string {
	known, ok := n[uid]
	if !ok || time.Since(known.at) > time.Minute {
		known = nameOf{userName(uid), time.Now()}
		n[uid] = known
	}
	return known.name
}

// affordable refuses what would be too much for one caller.
func (m *Monitor) affordable(c deputy.Caller, d manifest.Defaults, fresh int, withKey bool) *deputy.Error {
	u := m.state.count[c]
	if fresh > 0 && u.live+fresh > d.Live {
		e := deputy.Refuse(deputy.RateLimited,
			"cannot accept: %s has %d live tasks, of at most %d ([defaults] per_caller.live); wait until some have ended", c, u.live, d.Live)
		e.RetryAfter = 1
		return e
	}
	if withKey && u.keys >= maxKeys {
		e := deputy.Refuse(deputy.RateLimited, "cannot accept: %s has used %d idempotency keys in a day; they live for 24 hours", c, u.keys)
		e.RetryAfter = 3600
		return e
	}
	if m.failed != nil {
		e := deputy.Refuse(deputy.NotDurable, "cannot accept: the journal cannot be written (%v); nothing was started, ask again later", m.failed)
		e.RetryAfter = 1
		return e
	}
	if full := m.storage.full; full != "" {
		e := deputy.Refuse(deputy.NotDurable, "cannot accept: %s; nothing was started, the administrator can make room or change [storage] in deputy.toml", full)
		e.RetryAfter = 10
		return e
	}
	return nil
}
