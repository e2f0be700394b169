package schedule

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

// times is what schedules have in common.
type times interface {
	Next(time.Time) time.Time
	Missed(from, to time.Time) (int64, time.Time)
}

// draw makes an expression by chance.
func draw(r *rand.Rand) string {
	item := func(low, high int) string {
		a := low + r.IntN(high-low)
		b := a + 1 + r.IntN(high-a)
		switch r.IntN(6) {
		case 0:
			return strconv.Itoa(a) + "-" + strconv.Itoa(b)
		case 1:
			return "*/" + strconv.Itoa(1+r.IntN(min(high-low, 23)))
		case 2:
			return strconv.Itoa(a) + "-" + strconv.Itoa(b) + "/" + strconv.Itoa(1+r.IntN(b-a))
		}
		return strconv.Itoa(a)
	}
	field := func(low, high int) string {
		if r.IntN(3) == 0 {
			return "*"
		}
		items := []string{item(low, high)}
		for r.IntN(3) == 0 {
			items = append(items, item(low, high))
		}
		return strings.Join(items, ",")
	}
	days, weekdays := field(1, 29), "*"
	if r.IntN(2) == 0 {
		days, weekdays = "*", field(0, 6)
	}
	return strings.Join([]string{field(0, 59), field(0, 23), days, field(1, 12), weekdays}, " ")
}

func TestNextIncreasesAndMissedCountsWhatNextGives(t *testing.T) {
	const seed = 13
	r := rand.New(rand.NewPCG(seed, 0))
	for range 1500 {
		in, text := zones[r.IntN(len(zones))], draw(r)
		c := cron(t, text, in)
		var due times = c
		if r.IntN(8) == 0 {
			e, err := NewEvery(time.Duration(60+r.IntN(86340)) * time.Second)
			if err != nil {
				t.Fatal(err)
			}
			due, text = e, e.String()
		}
		from := time.Unix(r.Int64N(3e9), r.Int64N(1e9))
		at, want := from, int64(0)
		for range 1 + r.IntN(60) {
			next := due.Next(at)
			if !next.After(at) {
				t.Fatalf("%q in %s: after %v comes %v", text, in, at, next)
			}
			if again := due.Next(next.Add(-1)); !again.Equal(next) {
				t.Fatalf("%q in %s: next is %v, and just before it %v", text, in, next, again)
			}
			if between := due.Next(at.Add(next.Sub(at) / 2)); !between.Equal(next) {
				t.Fatalf("%q in %s: next is %v, and half way to it %v", text, in, next, between)
			}
			at, want = next, want+1
		}
		if n, last := due.Missed(from, at); n != want || !last.Equal(at) {
			t.Fatalf("%q in %s from %v: %d missed, the last at %v; want %d and %v", text, in, from, n, last, want, at)
		}
		to := due.Next(at).Add(-1)
		if n, last := due.Missed(from, to); n != want || !last.Equal(at) {
			t.Fatalf("%q in %s from %v to %v: %d missed, the last at %v; want %d and %v", text, in, from, to, n, last, want, at)
		}
		if n, last := due.Missed(at, to); n != 0 || !last.IsZero() {
			t.Fatalf("%q in %s between two: %d missed, the last at %v", text, in, n, last)
		}
		if n, _ := due.Missed(to, from); n != 0 {
			t.Fatalf("%q in %s backwards: %d missed", text, in, n)
		}
		same(t, c)
	}
}

// same checks that the canonical text is read as the same schedule.
func same(t *testing.T, c *Cron) {
	t.Helper()
	again, err := ParseCron(c.String(), c.zone)
	if err != nil || *again != *c || again.String() != c.String() {
		t.Fatalf("%+v is written as %q, which is read as %+v, %v", c, c, again, err)
	}
}

func TestTheCanonicalTextIsOneForOneMeaning(t *testing.T) {
	for text, want := range map[string]string{
		"30 3 * * *":                "30 3 * * *",
		"  05\t03  01 jan\t* ":      "5 3 1 1 *",
		"@hourly":                   "0 * * * *",
		"@Daily":                    "0 0 * * *",
		"@midnight":                 "0 0 * * *",
		"@weekly":                   "0 0 * * 0",
		"@monthly":                  "0 0 1 * *",
		"@yearly":                   "0 0 1 1 *",
		"@annually":                 "0 0 1 1 *",
		"0 0 * * 7":                 "0 0 * * 0",
		"0 0 * * sun":               "0 0 * * 0",
		"0 0 * * 0,7":               "0 0 * * 0",
		"0 0 * * Mon-FRI":           "0 0 * * 1-5",
		"0 0 * * fri-sun":           "0 0 * * 0,5,6",
		"0 0 * * sun-tue":           "0 0 * * 0-2",
		"0 0 * * 5-7":               "0 0 * * 0,5,6",
		"0 0 * * 0-7":               "0 0 * * *",
		"0 0 * * 1-7":               "0 0 * * *",
		"0 0 1-31 1-12 *":           "0 0 * * *",
		"0-59 * * * *":              "* * * * *",
		"*/1 */1 */1 */1 */1":       "* * * * *",
		"0,15,30,45 * * * *":        "*/15 * * * *",
		"45,0,30,15,15 * * * *":     "*/15 * * * *",
		"0,30 * * * *":              "0,30 * * * *",
		"*/30 * * * *":              "0,30 * * * *",
		"5,20,35,50 * * * *":        "5-50/15 * * * *",
		"1,2,3,10,20,21 * * * *":    "1-3,10,20,21 * * * *",
		"0 0-23 * * *":              "0 * * * *",
		"0 */12 * * *":              "0 */12 * * *", // follows real time
		"0 0,12 * * *":              "0 0,12 * * *", // does not
		"0 */6 * * *":               "0 */6 * * *",
		"0 0,6,12,18 * * *":         "0 0-18/6 * * *",
		"0 */6,3 * * *":             "0 */6,3 * * *",
		"0 3,*/6 * * *":             "0 */6,3 * * *",
		"0 */8,*/12 * * *":          "0 */8,12 * * *",
		"0 */2,1-23/2 * * *":        "0 * * * *",
		"0 0 */2 jan-mar,*/6 *":     "0 0 */2 1-3,7 *",
		"0 0 29 feb *":              "0 0 29 2 *",
		"0 0 31 2,3 *":              "0 0 31 2,3 *",
		"0 0 * jan,apr,jul,oct mon": "0 0 * */3 1",
		"0 9-17/2 * * *":            "0 9-17/2 * * *",
		"0 9-17/8 * * *":            "0 9,17 * * *",
		"5-5 5-5/1 * * *":           "5 5 * * *",
		"0 0 * * sat-sat,sun-sun":   "0 0 * * 0,6",
		"0 0 * dec-dec *":           "0 0 * 12 *",
		"1-59/2,*/2 * * * *":        "* * * * *",
		"0 1-23 * * *":              "0 1-23 * * *",
		"0000 0003 * * *":           "0 3 * * *",
		"0 0 */30 * *":              "0 0 1,31 * *",
		"0 */23 * * *":              "0 */23 * * *",
		"0 0 * * */2":               "0 0 * * */2",
		"0 0 * * 1-5,7":             "0 0 * * 0-5",
	} {
		c := cron(t, text, "UTC")
		if c.String() != want {
			t.Errorf("%q is written as %q, want %q", text, c, want)
		}
		same(t, c)
	}
}

func TestTheEndsOfTimeAreNoTrap(t *testing.T) {
	for _, due := range []times{cron(t, "30 3 * * *", "Europe/Berlin"), cron(t, "0 */2 29 2 *", "America/Sao_Paulo"), Every{3600}} {
		if at := due.Next(time.Time{}); at.IsZero() || at.Year() < 1970 || at.Year() > 1972 {
			t.Errorf("%v: after the zero time comes %v", due, at)
		}
		if at := due.Next(time.Unix(-1<<62, 0)); at.IsZero() || at.Year() < 1970 || at.Year() > 1972 {
			t.Errorf("%v: after the beginning comes %v", due, at)
		}
		for _, late := range []time.Time{time.Date(9999, 12, 31, 23, 59, 59, 1, time.UTC), time.Unix(1<<62, 0)} {
			if at := due.Next(late); !at.IsZero() {
				t.Errorf("%v: after %v comes %v", due, late, at)
			}
		}
		n, last := due.Missed(time.Unix(-1<<62, 0), time.Unix(1<<62, 0))
		if n < 8030*365/1461 || last.Year() < 9990 {
			t.Errorf("%v: in all times are %d, the last at %v", due, n, last)
		}
	}
}

func TestTheMissedOfACenturyAreCountedRight(t *testing.T) {
	from, to := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(-1), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).Add(-1)
	for text, want := range map[string]int64{"* * * * *": 36525 * 1440, "0 0 * * *": 36525, "0 0 29 2 *": 25, "30 3 1 * *": 1200, "*/7 * * * mon": 5218 * 24 * 9} {
		if n, _ := cron(t, text, "UTC").Missed(from, to); n != want {
			t.Errorf("%q: %d in a century, want %d", text, n, want)
		}
	}
	// What comes twice is one, and what is skipped is due at once: a fixed hour is run each day.
	for _, in := range zones {
		from, to := time.Date(2000, 1, 1, 0, 0, 0, -1, zone(t, in)), time.Date(2100, 1, 1, 0, 0, 0, -1, zone(t, in))
		for _, text := range []string{"20 0 * * *", "30 1 * * *", "15 2 * * *", "30 3 * * *"} {
			if n, _ := cron(t, text, in).Missed(from, to); n != 36525 {
				t.Errorf("%q in %s: %d in a century, want one for each day", text, in, n)
			}
		}
	}
}

// FuzzParseCron: no text makes the reader panic, what is refused has a place and a
// remedy, and what is accepted is due again, and is written as it is read.
func FuzzParseCron(f *testing.F) {
	_, cases := refusals(f)
	for _, c := range cases {
		f.Add(c.text)
	}
	for _, text := range expressions {
		f.Add(text)
	}
	lordHowe := zone(f, "Australia/Lord_Howe")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCron(text, lordHowe)
		if err != nil {
			refused, ok := err.(*Error)
			if !ok || refused.At < 0 || refused.At > len(text) || refused.Reason == "" || refused.Remedy == "" || strings.ContainsAny(err.Error(), "\n\x00") {
				t.Fatalf("%q: %#v", text, err)
			}
			return
		}
		same(t, c)
		from := time.Date(2019, 4, 6, 0, 0, 0, 0, time.UTC)
		first := c.Next(from)
		second := c.Next(first)
		if n, last := c.Missed(from, second); !second.After(first) || n != 2 || !last.Equal(second) {
			t.Fatalf("%q: %v, then %v; %d missed, the last at %v", text, first, second, n, last)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	for _, text := range []string{"* * * * *", "30 3 * * *", "0 0 29 2 *", "0 0 31 12 *", "0 12 * feb mon"} {
		b.Run(text, func(b *testing.B) {
			c, at := cron(b, text, "Europe/Berlin"), time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
			for b.Loop() {
				c.Next(at)
			}
		})
	}
}

func BenchmarkMissed(b *testing.B) {
	for _, span := range []struct {
		name  string
		years int
	}{{"a day", 0}, {"a year", 1}, {"50 years", 50}, {"7900 years", 7900}} {
		for _, text := range []string{"* * * * *", "30 3 * * *", "0 0 29 2 *"} {
			b.Run(span.name+", "+text, func(b *testing.B) {
				c, from := cron(b, text, "Europe/Berlin"), time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
				to := from.AddDate(span.years, 0, 1)
				for b.Loop() {
					c.Missed(from, to)
				}
			})
		}
	}
}
