package turns

import (
	"fmt"
	"testing"
	"time"

	"deputy"
	"deputy/internal/monitor/manifest"
)

// A budget gives the rate's number at once, and as many again over its span.
func TestBudgets(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	for _, rate := range []manifest.Rate{{Number: 10, Span: time.Second}, {Number: 5, Span: time.Minute}, {Number: 100, Span: time.Hour}, {Number: 1, Span: time.Hour}} {
		b, now, panel := Budgets{}, start, Budget{Caller: "key:panel"}
		given := 0
		for end := start.Add(3 * rate.Span); !now.After(end); {
			wait := b.Take(panel, rate, now)
			if wait == 0 {
				given++
				continue
			}
			if each := rate.Span / time.Duration(rate.Number); wait < 1 || time.Duration(wait)*time.Second > each+time.Second {
				t.Fatalf("%s: told to come back in %d s", rate, wait)
			}
			now = now.Add(rate.Span / time.Duration(10*rate.Number))
		}
		if want := 4 * rate.Number; given < want-1 || given > want+1 {
			t.Errorf("%s: %d were given at once and in three spans, want %d", rate, given, want)
		}
	}
}

// Who comes back when it was told to is not refused again.
func TestComeBack(t *testing.T) {
	rate := manifest.Rate{Number: 7, Span: time.Minute}
	b, now, of := Budgets{}, time.Unix(1_000_000, 0), Budget{"uid:1", "m/a"}
	for range 100 {
		if wait := b.Take(of, rate, now); wait > 0 {
			now = now.Add(time.Duration(wait) * time.Second)
			if again := b.Take(of, rate, now); again > 0 {
				t.Fatalf("told to come back in %d s, and then in %d s", wait, again)
			}
		}
	}
}

// What is forgotten is full: a caller cannot have its budget back by asking
// under a thousand names.
func TestForgotten(t *testing.T) {
	rate := manifest.Rate{Number: 2, Span: time.Hour}
	b, now, of := Budgets{}, time.Unix(1_000_000, 0), Budget{"uid:1", "m/a"}
	for b.Take(of, rate, now) == 0 {
	}
	for i := range 3000 {
		now = now.Add(time.Second / 2)
		b.Take(Budget{Caller: deputy.Caller(fmt.Sprint("uid:", i))}, manifest.Rate{Number: 1, Span: time.Second}, now)
	}
	if wait := b.Take(of, rate, now); wait == 0 {
		t.Error("its budget was forgotten before it was full")
	}
	if len(b) > 1100 {
		t.Errorf("%d budgets are remembered", len(b))
	}
}
