package schedule

import (
	"fmt"
	"strings"
	"time"
)

// A span divides time from one fixed instant on: when it is due follows from the span
// alone, and so is the same after each restart.

// Every is due whenever a whole number of its spans has passed since 1970 UTC. So
// no restart shifts it, and neither a zone nor daylight saving has a part in it.
type Every struct{ seconds int64 }

const (
	shortestEvery = time.Minute
	longestEvery  = 24 * time.Hour
)

// NewEvery takes a span of whole seconds from a minute to a day.
func NewEvery(span time.Duration) (Every, error) {
	refuse := func(reason, remedy string) (Every, error) {
		return Every{}, &Error{Key: "every", Text: short(span), Reason: reason, Remedy: remedy}
	}
	switch {
	case span < shortestEvery:
		return refuse("it is shorter than a minute", `write "1m" or more; what runs all the time is a service`)
	case span > longestEvery:
		return refuse("it is longer than a day", `write at most "24h", or the days as cron = "0 3 * * mon"`)
	case span%time.Second != 0:
		return refuse("it is no whole number of seconds", fmt.Sprintf("write %q", short(span.Truncate(time.Second))))
	}
	return Every{int64(span / time.Second)}, nil
}

// Next is the first nominal time later than t, in UTC. It is the zero Time when t
// lies beyond the year 9999.
func (e Every) Next(t time.Time) time.Time {
	at := after(t)
	if at > lastInstant {
		return time.Time{}
	}
	return time.Unix(-floorDiv(-at, e.seconds)*e.seconds, 0).UTC()
}

// Missed counts the nominal times later than from and not later than to, and gives
// the last of them, in UTC; last is the zero Time if there is none.
func (e Every) Missed(from, to time.Time) (count int64, last time.Time) {
	low, high := after(from)-1, after(to)-1
	count = floorDiv(high, e.seconds) - floorDiv(low, e.seconds)
	if count <= 0 {
		return 0, time.Time{}
	}
	return count, time.Unix(floorDiv(high, e.seconds)*e.seconds, 0).UTC()
}

// String is "every 6h".
func (e Every) String() string { return "every " + short(time.Duration(e.seconds)*time.Second) }

// short writes a span without the zeros at its end: "6h", not "6h0m0s".
func short(span time.Duration) string {
	text := span.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
