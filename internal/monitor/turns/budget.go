package turns

import (
	"deputy"
	"deputy/internal/monitor/manifest"
	"math"
	"time"
)

// A budget never goes below nothing and never above its depth. What is full is
// forgotten, so that who asks seldom takes no memory.

// Budgets holds how fast each caller asks, in all and for each action that has
// a rate: token buckets, as deep as the rate's number. No journal knows them.
type Budgets map[Budget]*bucket

// Budget is that of a caller for an action.
type Budget struct {
	Caller deputy.Caller
	Action string // "module/action"; empty: whatever it asks for
}

type bucket struct {
	tokens float64
	at     time.Time // when tokens was right
	full   time.Time // when it will be full again
}

// Take spends one request, or says after how many seconds to come back.
func (b Budgets) Take(of Budget, rate manifest.Rate, now time.Time) (wait int) {
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
func (b Budgets) forgetFull(now time.Time) {
	if len(b) < 1024 {
		return
	}
	for of, k := range b {
		if now.After(k.full) {
			delete(b, of)
		}
	}
}

// ComeBack refuses what comes too often.
func ComeBack(seconds int, format string, args ...any) *deputy.Error {
	e := deputy.Refuse(deputy.RateLimited, format+"; ask again in %d s", append(args, seconds)...)
	e.RetryAfter = seconds
	return e
}
