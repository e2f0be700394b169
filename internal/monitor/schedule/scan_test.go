package schedule

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// zones have each a shift of its own kind: half an hour, at midnight, in Ramadan,
// winter time as the exception, a day that never was, and none.
var zones = []string{"Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Casablanca", "Europe/Dublin", "Pacific/Apia", "Asia/Kolkata"}

// expressions are held against the scan: hours that are written out around the
// shifts of these zones, hours that follow real time, and rare dates.
var expressions = []string{
	"30 3 * * *", "0 0 * * *", "15 0 * * *", "0,30 1,2 * * *", "*/20 2 * * *", "45 1 * * *", "* 2 * * 0", "0 1-23/4 * * *",
	"30 * * * *", "*/15 * * * *", "0 */2 * * *", "15,45 */3,2 * * *", "30 2 * mar,oct sun", "0 12 30 12 *", "0 0 1 * *", "0 0 31 * *",
	"0 0 29 2 *", "30 0 * * fri", "59 23 * * 6-7", "10-50/13 0-3 15-21 */2 *",
}

// The rules in words, minute by minute. The scan shares nothing with what it checks.
//
// A clock on the wall is looked at in every minute of real time. highest is the
// latest minute that it has ever shown. Hours with "*" are due when the clock shows
// what they name. All else is due when the clock shows what it names and never did
// before; and when the clock jumps over a minute that it names, at once.
type scanned struct {
	text string
	real bool
	due  [5][60]bool // minute, hour, day of month, month, weekday
}

func scan(text string) *scanned {
	s := &scanned{text: text, real: strings.Contains(strings.Fields(text)[1], "*")}
	for i, field := range strings.Fields(text) {
		low, high := []int{0, 0, 1, 1, 0}[i], []int{59, 23, 31, 12, 6}[i]
		for _, item := range strings.Split(field, ",") {
			bounds, step, _ := strings.Cut(item, "/")
			first, last, ranged := strings.Cut(bounds, "-")
			from, to, by := low, high, 1
			if first != "*" {
				from = plain(first)
				to = from
			}
			if ranged {
				to = plain(last)
			}
			if step != "" {
				by = plain(step)
			}
			for v := from; v <= to; v += by {
				if i == 4 {
					s.due[i][v%7] = true
				} else {
					s.due[i][v] = true
				}
			}
		}
	}
	return s
}

func plain(text string) int {
	if i := slices.Index([]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}, text); i >= 0 {
		return i
	}
	if i := slices.Index([]string{"", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}, text); i > 0 {
		return i
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

// names says whether a minute of the clock is named.
func (s *scanned) names(w wall) bool {
	return s.due[0][w.minute] && s.due[1][w.hour] && s.due[2][w.day] && s.due[3][w.month] && s.due[4][w.weekday]
}

// wall is what the clock shows; count numbers the minutes of such a clock.
type wall struct {
	minute, hour, day, month, weekday int
	count                             int64
}

func show(t time.Time) wall {
	_, offset := t.Zone()
	local := time.Unix(t.Unix()+int64(offset), 0).UTC()
	_, month, day := local.Date()
	hour, minute, _ := local.Clock()
	return wall{minute, hour, day, int(month), int(local.Weekday()), local.Unix() / 60}
}

// at is due in a minute in which the clock shows w, after it had shown highest.
func (s *scanned) at(w wall, highest int64) bool {
	if s.real {
		return s.names(w)
	}
	for skipped := highest + 1; skipped < w.count; skipped++ {
		if s.names(show(time.Unix(skipped*60, 0).UTC())) {
			return true
		}
	}
	return w.count > highest && s.names(w)
}

// compared is an expression as the scan finds it, and as Next and Missed say.
type compared struct {
	*scanned
	cron         *Cron
	next         time.Time
	due          int64 // next, in seconds: cheap to compare
	missed, last int64 // of this year
}

// look holds one minute against Next.
func (c *compared) look(t *testing.T, now int64, w wall, highest int64) {
	due := c.at(w, highest)
	if due != (c.due == now) {
		t.Fatalf("%q at %v: due is %v, and next is %v", c.text, time.Unix(now, 0).In(c.next.Location()), due, c.next)
	}
	if due {
		c.next = c.cron.Next(time.Unix(now, 0))
		c.due, c.last, c.missed = c.next.Unix(), now, c.missed+1
	}
}

// turn holds a year that ends against Missed.
func (c *compared) turn(t *testing.T, start, end time.Time) {
	if c.next.Before(end) {
		t.Errorf("%q: the scan never found %v", c.text, c.next)
	}
	n, last := c.cron.Missed(start.Add(-1), end.Add(-1))
	if n != c.missed || n > 0 && last.Unix() != c.last {
		t.Errorf("%q, missed from %v to %v: %d, last %v; want %d, last %v", c.text, start, end, n, last, c.missed, time.Unix(c.last, 0))
	}
	c.missed = 0
}

// compare scans years in a zone, minute by minute.
func compare(t *testing.T, zone string, texts []string, from, to int) {
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(from, 1, 1, 0, 0, 0, 0, time.UTC)
	var all []*compared
	var named [60][]*compared // by the minutes that they name: only these can be due where the clock skips nothing
	for _, text := range texts {
		c := cron(t, text, zone)
		one := &compared{scanned: scan(text), cron: c, next: c.Next(start.Add(-1))}
		one.due = one.next.Unix()
		all = append(all, one)
		for m := range named {
			if one.scanned.due[0][m] {
				named[m] = append(named[m], one)
			}
		}
	}
	highest := show(start.Add(-time.Minute).In(location)).count
	for ; start.Year() < to; start = start.AddDate(1, 0, 0) {
		end := start.AddDate(1, 0, 0)
		for now := start.Unix(); now < end.Unix(); now += 60 {
			w := show(time.Unix(now, 0).In(location))
			candidates := named[w.minute]
			if w.count > highest+1 {
				candidates = all
			}
			for _, one := range candidates {
				one.look(t, now, w, highest)
			}
			highest = max(highest, w.count)
		}
		for _, one := range all {
			one.turn(t, start, end)
		}
	}
}

func TestTenYearsInSixZonesAreAsAScanByTheMinuteFindsThem(t *testing.T) {
	for _, zone := range zones {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			compare(t, zone, expressions, 2010, 2020)
		})
	}
}

// From 2038 on zone data hold a rule instead of shifts, and 2040 has a 29 February.
func TestALeapYearAfterTheTableOfShiftsIsAsTheScanFindsIt(t *testing.T) {
	for _, zone := range []string{"Australia/Lord_Howe", "Europe/Dublin"} {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			compare(t, zone, append([]string{"*/30 * * * *", "15 2 * * *"}, expressions...), 2039, 2042)
		})
	}
}

func TestEveryMinuteOfAYearWithAllShiftsIsAsTheScanFindsIt(t *testing.T) {
	for _, zone := range zones {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			compare(t, zone, []string{"* * * * *", "* 0-23/2 * * *", "* */5 * * *"}, 2011, 2012)
		})
	}
}
