// Package schedule computes when something is due: it reads a schedule as an
// administrator writes it and says which instants it names.
//
// Law: a schedule is a value that never changes, and its nominal times follow from
// it and its time zone alone. Nothing here knows what is run, which files it was
// declared in, or what the time is now. Zone reads the system's zone data; all
// else computes.
//
// The language is that of crontab(5), and daylight saving is treated as cron(8) of
// Debian (Vixie cron) does it, where that differs between crons:
//
//   - An hour that is written out stands for a time of the day. If the clock skips
//     it, it is due at the first instant after the gap; if the clock shows it twice,
//     it is due the first time.
//   - An hour with "*" in it ("*", "*/2") follows real time: it is due whenever the
//     clock shows it, so twice in an hour that is shown twice, and not in one that
//     is skipped.
//
// Debian's cron lets a "*" in the minutes decide this too; here hours alone do, so
// that "*/10 2 * * *" is run on a day without 02:00, once. Debian's cron takes a
// shift of more than three hours for a clock that was set; here a schedule knows
// that its zone was shifted, and a whole day that is skipped is a gap as any other.
package schedule

import (
	"fmt"
	"math"
	"time"
)

// Error is a schedule that cannot be used.
type Error struct {
	Key    string // "cron", "every" or "zone"
	Text   string // what was written there
	At     int    // where in Text the wrong part begins, in bytes
	Reason string
	Remedy string
}

func (e *Error) Error() string {
	return fmt.Sprintf("cannot use %s = %q: %s; %s", e.Key, e.Text, e.Reason, e.Remedy)
}

// Instants are seconds since 1970 UTC. What is computed lies within the years 1970 to
// 9999, so that no sum of them overflows.
var (
	firstInstant = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	lastInstant  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
)

// after is the first whole second later than t, within the years that are computed.
func after(t time.Time) int64 {
	if at := t.Unix(); at < lastInstant {
		return max(at+1, firstInstant)
	}
	return lastInstant + 1
}

// floorDiv rounds down, also before 1970.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// never is before and after every instant that is computed.
const (
	beginning = math.MinInt64 / 2
	omega     = math.MaxInt64 / 2
)
