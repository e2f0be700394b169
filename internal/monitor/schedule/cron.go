package schedule

import "time"

// Next and Missed name the same times, whichever is asked, and neither misses one or
// names one twice. What they cost does not grow with how often the schedule is due.

// Cron is due when a clock in its zone shows a minute that its five fields name
// (crontab(5)); the package says what daylight saving does to that.
type Cron struct {
	minutes, hours, days, months, weekdays set
	// real says that the hours follow real time: there is a "*" in them.
	real bool
	zone *time.Location
}

// horizon is how far Next looks. The rarest date is 29 February, which from 1896 to
// 1904, and from 2096 to 2104, is eight years away.
const horizon = 9 * 366 * day

// Next is the first nominal time later than t, in the schedule's zone. It is the
// zero Time when t lies beyond the year 9999.
func (c *Cron) Next(t time.Time) time.Time {
	at := after(t)
	if at > lastInstant {
		return time.Time{}
	}
	for limit := at + horizon; at < limit; {
		s := c.stretch(at)
		if due, ok := c.firstIn(s, at, limit); ok {
			return time.Unix(due, 0).In(c.zone)
		}
		at = s.end
	}
	return time.Time{}
}

// firstIn finds the first nominal time of a stretch in [from, to), where from lies in
// the stretch.
func (c *Cron) firstIn(s stretch, from, to int64) (due int64, ok bool) {
	gap, shown := c.seen(s, from)
	if gap && s.start == from {
		return s.start, s.start < to
	}
	w, ok := c.first(max(shown, from+s.offset), min(s.end, to)+s.offset)
	return w - s.offset, ok
}

// Missed counts the nominal times later than from and not later than to, and gives
// the last of them, in the schedule's zone; last is the zero Time if there is none.
// It costs by the months and the shifts of the zone in between, not by what is due.
func (c *Cron) Missed(from, to time.Time) (count int64, last time.Time) {
	low, high := after(from), after(to)
	if count = c.count(low, high); count == 0 {
		return 0, time.Time{}
	}
	return count, time.Unix(c.last(low, high), 0).In(c.zone)
}

// count counts the nominal times in [from, to).
func (c *Cron) count(from, to int64) (n int64) {
	for at := from; at < to; {
		s := c.stretch(at)
		gap, shown := c.seen(s, at)
		low := max(shown, at+s.offset)
		if gap && s.start == at {
			n++
			low = max(low, s.start+s.offset+1) // the first minute after the gap is the same instant
		}
		n += c.matches(low, min(s.end, to)+s.offset)
		at = s.end
	}
	return n
}

// last is the last nominal time in [from, to), where there is one.
func (c *Cron) last(from, to int64) int64 {
	// Go back in steps that double until one is found, and halve what holds it.
	low, high := to-1, to
	for step := int64(minute); low > from && c.count(low, high) == 0; step *= 2 {
		low, high = max(from, low-step), low
	}
	for high-low > 1 {
		if middle := low + (high-low)/2; c.count(middle, high) > 0 {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}
