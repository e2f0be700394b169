//go:build unix

package rehearsal

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"deputy/internal/monitor/process"
	"deputy/internal/monitor/process/fakehost"
	"deputy/internal/monitor/state"
)

// However a debounced action is asked for, its task begins quiet after the last request
// that it has waited for, and max after the first at the latest; who comes then is given
// the next.
func TestDebounce(t *testing.T) {
	const quiet, most = 5 * time.Second, 20 * time.Second
	p := play{title: "debounce", extra: "lock = \"l\"\ndebounce = { quiet = \"5s\", max = \"20s\" }\n"}
	r := load(t, p.manifest())
	for seed := range uint64(200) {
		dice := rand.New(rand.NewPCG(seed, 0))
		synctest.Test(t, func(t *testing.T) {
			var began []time.Time
			m := newMachine(t, r, t.TempDir(), func(process.Spec) fakehost.Tree { began = append(began, time.Now()); return fakehost.Tree{} })
			m.begin()
			var want []time.Time
			var first, last time.Time
			for i := range 20 {
				now := time.Now()
				if due := first.Add(most); !first.IsZero() && !now.Before(minTime(last.Add(quiet), due)) {
					want, first = append(want, minTime(last.Add(quiet), due)), time.Time{}
				}
				if last = now; first.IsZero() {
					first = now
				}
				if o := m.call(fmt.Sprint(i), "act", nil); o.Error != nil {
					t.Fatalf("seed %d: %v", seed, o.Error)
				}
				time.Sleep(time.Duration(100+dice.IntN(7000)) * time.Millisecond)
			}
			want = append(want, minTime(last.Add(quiet), first.Add(most)))
			m.settle()
			m.bury()
			if len(began) != len(want) {
				t.Fatalf("seed %d: %d tasks began, want %d", seed, len(began), len(want))
			}
			for i := range want {
				if late := began[i].Sub(want[i]); late < 0 || late > 50*time.Millisecond { // the journal takes its time
					t.Errorf("seed %d: task %d began %v after it was due", seed, i, late)
				}
			}
		})
	}
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// The rule itself, at any times.
func TestDue(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 0))
	for range 100_000 {
		terms := state.Terms{QuietMS: 1 + dice.Int64N(60_000), AtMostMS: 1 + dice.Int64N(3_600_000)}
		first := dice.Int64N(1 << 50)
		last := first + dice.Int64N(int64(2*time.Hour))
		due := terms.Due(first, last)
		quiet, most := last+terms.QuietMS*1e6, first+terms.AtMostMS*1e6
		if due > quiet || due > most || due != quiet && due != most {
			t.Fatalf("%+v: asked for at %d and %d it is due at %d", terms, first, last, due)
		}
	}
}
