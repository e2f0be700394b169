package schedule

import "time"

// stretch is a time in which a zone does not change its distance from UTC: instants
// from start up to end, without end. By the clock it is start+offset to end+offset.
type stretch struct{ start, end, offset int64 }

// stretch is the one in which an instant lies, or a part of it: Go ends one with each
// year where a zone follows a rule for all years to come.
func (c *Cron) stretch(at int64) stretch {
	t := time.Unix(at, 0).In(c.zone)
	_, offset := t.Zone()
	s := stretch{beginning, omega, int64(offset)}
	start, end := t.ZoneBounds()
	if !start.IsZero() {
		s.start = min(start.Unix(), at)
	}
	if !end.IsZero() {
		s.end = end.Unix()
	}
	if s.end <= at {
		// Go gives leap years 365 days there, so on 31 December the end is past.
		s.end = (floorDiv(at, day) + 1) * day
	}
	return s
}

// settled is the time after a shift from which on the clock shows nothing that it
// showed before the shift: no two zones are further apart than 26 h, and Pacific/Apia
// and Manila crossed the date line, which is a shift of 24 h.
const settled = 2 * day

// seen says what the clock had shown when a stretch began, for instants from the
// given one on. shown is the first minute of the stretch that the clock had not
// shown before. gap says that the clock skipped a minute that the fields name,
// which is then due at the start of the stretch.
//
// Hours that follow real time have neither.
func (c *Cron) seen(s stretch, from int64) (gap bool, shown int64) {
	begins := s.start + s.offset
	if c.real || s.start == beginning || s.start < from-settled {
		return false, begins
	}
	shown = int64(beginning)
	for at := s.start; at > s.start-settled; {
		before := c.stretch(at - 1)
		shown = max(shown, at+before.offset)
		at = before.start
	}
	if shown < begins {
		_, gap = c.first(shown, begins)
	}
	return gap, max(shown, begins)
}
