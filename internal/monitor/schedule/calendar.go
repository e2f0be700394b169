package schedule

import (
	"math/bits"
	"time"
)

// What a clock on the wall shows is a number too: the seconds since 1970-01-01
// 00:00 by that clock, every day with 24 hours. Here the fields of a Cron meet the
// calendar; no zone is known.

const (
	minute = 60
	hour   = 60 * minute
	day    = 24 * hour
)

// set holds the values that a field names, as bits.
type set uint64

func (s set) has(value int) bool { return s>>value&1 != 0 }

func (s set) size() int { return bits.OnesCount64(uint64(s)) }

// below are the values less than the given one.
func (s set) below(value int) set { return s & (1<<value - 1) }

// from is the first value that is not less than the given one, and -1 if there is
// none.
func (s set) from(value int) int {
	if rest := s >> value << value; rest != 0 {
		return bits.TrailingZeros64(uint64(rest))
	}
	return -1
}

const allWeekdays set = 1<<7 - 1

// date is a day of the calendar.
type date struct {
	number     int64 // days since 1970-01-01
	year       int
	month, day int
}

func dateOf(number int64) date {
	y, m, d := time.Unix(number*day, 0).UTC().Date()
	return date{number, y, int(m), d}
}

func (d date) weekday() int { return int((d.number%7 + 7 + 4) % 7) } // 1970 began on a Thursday

// length is how many days the month has.
func (d date) length() int {
	switch d.month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if d.year%4 == 0 && (d.year%100 != 0 || d.year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// nextMonth is the first day of the month after.
func (d date) nextMonth() date {
	next := date{d.number + int64(d.length()-d.day+1), d.year, d.month + 1, 1}
	if next.month == 13 {
		next.year, next.month = d.year+1, 1
	}
	return next
}

// on says whether the fields name a day of a month that they name.
func (c *Cron) on(d date) bool { return c.days.has(d.day) && c.weekdays.has(d.weekday()) }

// first finds the first minute in [from, to) of the clock that the fields name.
func (c *Cron) first(from, to int64) (at int64, ok bool) {
	from = -floorDiv(-from, minute)
	d := dateOf(floorDiv(from, day/minute))
	early := int(from - d.number*(day/minute))
	for d.number*day < to {
		if !c.months.has(d.month) {
			d, early = d.nextMonth(), 0
			continue
		}
		if c.on(d) {
			if m := c.time(early); m >= 0 {
				at = d.number*day + int64(m)*minute
				return at, at < to
			}
		}
		if d.day == d.length() {
			d = d.nextMonth()
		} else {
			d.number, d.day = d.number+1, d.day+1
		}
		early = 0
	}
	return 0, false
}

// time is the first minute of a day, from the given one on, that minutes and hours
// name; -1 if there is none.
func (c *Cron) time(early int) int {
	h := early / 60
	if c.hours.has(h) {
		if m := c.minutes.from(early % 60); m >= 0 {
			return h*60 + m
		}
	}
	if h = c.hours.from(h + 1); h < 0 {
		return -1
	}
	return h*60 + c.minutes.from(0)
}

// matches counts the minutes in [from, to) of the clock that the fields name. It
// costs by the months in between.
func (c *Cron) matches(from, to int64) int64 {
	if from >= to {
		return 0
	}
	from, to = -floorDiv(-from, minute), -floorDiv(-to, minute)
	a, b := dateOf(floorDiv(from, day/minute)), dateOf(floorDiv(to, day/minute))
	// Whole days from a's up to b's, without the times of a before from, and with those of b before to.
	n := c.daysUntil(a, b) * int64(c.hours.size()*c.minutes.size())
	n -= c.timesBefore(a, int(from-a.number*(day/minute)))
	return n + c.timesBefore(b, int(to-b.number*(day/minute)))
}

// timesBefore counts what is due on a day before one of its minutes.
func (c *Cron) timesBefore(d date, m int) int64 {
	if !c.months.has(d.month) || !c.on(d) {
		return 0
	}
	n := c.hours.below(m/60).size() * c.minutes.size()
	if c.hours.has(m / 60) {
		n += c.minutes.below(m % 60).size()
	}
	return int64(n)
}

// daysUntil counts the days from a up to b, without b, that the fields name.
func (c *Cron) daysUntil(a, b date) (n int64) {
	for a.number < b.number {
		next := a.nextMonth()
		if c.months.has(a.month) {
			n += c.daysWithin(a, int(min(next.number, b.number)-a.number))
		}
		a = next
	}
	return n
}

// daysWithin counts those of some days of one month that the fields name. Either
// all weekdays are named or all days of the month.
func (c *Cron) daysWithin(d date, length int) int64 {
	if c.weekdays == allWeekdays {
		return int64((c.days >> d.day).below(length).size())
	}
	n := length / 7 * c.weekdays.size()
	twice := c.weekdays | c.weekdays<<7 // from any weekday on, for up to six days
	return int64(n + (twice >> d.weekday()).below(length%7).size())
}
