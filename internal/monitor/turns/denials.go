package turns

import (
	"deputy"
	"time"
)

// Denials are recorded one by one only so far; the rest is recorded by number, so that
// nobody can fill the journal with what is refused.

// Denials count what each account was refused, so that it cannot fill the journal.
type Denials map[deputy.Caller]*denied

type denied struct {
	since  time.Time
	count  int
	hidden int // not recorded one by one
}

const (
	denialsEach = 100 // recorded one by one
	DenialsSpan = time.Hour
)

// Note counts a denial; it says whether to record it, and how many earlier ones
// are to be recorded by number.
func (d Denials) Note(c deputy.Caller, now time.Time) (record bool, hidden int) {
	n := d[c]
	if n == nil || now.Sub(n.since) > DenialsSpan {
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

// Hide counts denials that were not recorded after all: by number, later.
func (d Denials) Hide(c deputy.Caller, count int) { d[c].hidden += count }

// Over gives the numbers whose hour is over.
func (d Denials) Over(now time.Time) map[deputy.Caller]int {
	over := map[deputy.Caller]int{}
	for c, n := range d {
		if now.Sub(n.since) > DenialsSpan {
			if n.hidden > 0 {
				over[c] = n.hidden
			}
			delete(d, c)
		}
	}
	return over
}
