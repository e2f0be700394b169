package schedule

import (
	"testing"
	"time"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	location, err := Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

func cron(t testing.TB, text, in string) *Cron {
	t.Helper()
	c, err := ParseCron(text, zone(t, in))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestDaylightSavingIsAsCronDoesIt holds what others reported of their schedulers,
// with the instants that cron's rules give.
func TestDaylightSavingIsAsCronDoesIt(t *testing.T) {
	for _, one := range []struct {
		report, text, zone, after string
		want                      []string
	}{
		// systemd skipped the day: there was no 02:00.
		{"systemd#5595", "0 2 * * *", "America/New_York", "2017-03-11T02:00:00-05:00",
			[]string{"2017-03-12T03:00:00-04:00", "2017-03-13T02:00:00-04:00"}},
		// systemd left 27 hours between two runs of "every four hours".
		{"systemd#13745", "30 2-23/4 * * *", "Australia/Sydney", "2019-10-06T00:00:00+10:00",
			[]string{"2019-10-06T03:00:00+11:00", "2019-10-06T06:30:00+11:00", "2019-10-06T10:30:00+11:00"}},
		{"systemd#13745, following real time", "30 */4 * * *", "Australia/Sydney", "2019-10-05T20:30:00+10:00",
			[]string{"2019-10-06T00:30:00+10:00", "2019-10-06T04:30:00+11:00"}},
		// Nomad started thousands of jobs for the one at 02:00.
		{"nomad#5410", "0 2 * * *", "America/New_York", "2019-03-09T02:00:00-05:00",
			[]string{"2019-03-10T03:00:00-04:00", "2019-03-11T02:00:00-04:00"}},
		// Nomad stood still for hours, then launched nothing.
		{"nomad#7289", "*/15 * * * *", "America/New_York", "2020-03-08T01:30:00-05:00",
			[]string{"2020-03-08T01:45:00-05:00", "2020-03-08T03:00:00-04:00", "2020-03-08T03:15:00-04:00"}},
		// The job of 02:30 was skipped in spring, and run twice in autumn.
		{"nomad#3392, spring", "30 2 * * *", "Europe/Berlin", "2017-03-25T12:00:00+01:00",
			[]string{"2017-03-26T03:00:00+02:00", "2017-03-27T02:30:00+02:00"}},
		{"nomad#3392, autumn", "30 2 * * *", "Europe/Berlin", "2017-10-28T12:00:00+02:00",
			[]string{"2017-10-29T02:30:00+02:00", "2017-10-30T02:30:00+01:00"}},
		// What was due each minute was not run at all in the hour that came twice.
		{"systemd#8647", "59 * * * *", "Europe/Berlin", "2023-10-29T01:59:00+02:00",
			[]string{"2023-10-29T02:59:00+02:00", "2023-10-29T02:59:00+01:00", "2023-10-29T03:59:00+01:00"}},
		// 2 AM ran at 1 AM and again at 3 AM.
		{"xen-orchestra#4024", "0 2 * * *", "America/Chicago", "2019-03-10T00:30:00-06:00",
			[]string{"2019-03-10T03:00:00-05:00", "2019-03-11T02:00:00-05:00"}},
		// A day without a midnight was skipped for a year.
		{"nats-server#8543", "0 1 4 11 *", "America/Sao_Paulo", "2018-11-03T23:00:00-03:00",
			[]string{"2018-11-04T01:00:00-02:00", "2019-11-04T01:00:00-03:00"}},
		{"no midnight", "0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00-03:00",
			[]string{"2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"}},
		{"23:30 comes twice", "30 23 * * *", "America/Sao_Paulo", "2018-02-17T12:00:00-02:00",
			[]string{"2018-02-17T23:30:00-02:00", "2018-02-18T23:30:00-03:00"}},
		{"half an hour is skipped", "0,10,20,45 2 * * *", "Australia/Lord_Howe", "2019-10-06T01:00:00+10:30",
			[]string{"2019-10-06T02:30:00+11:00", "2019-10-06T02:45:00+11:00", "2019-10-07T02:00:00+11:00"}},
		{"half an hour comes twice", "45 * * * *", "Australia/Lord_Howe", "2019-04-07T01:00:00+11:00",
			[]string{"2019-04-07T01:45:00+11:00", "2019-04-07T01:45:00+10:30", "2019-04-07T02:45:00+10:30"}},
		{"half an hour comes twice, a fixed hour once", "45 1 * * *", "Australia/Lord_Howe", "2019-04-07T01:00:00+11:00",
			[]string{"2019-04-07T01:45:00+11:00", "2019-04-08T01:45:00+10:30"}},
		{"Ramadan begins", "30 2 * * *", "Africa/Casablanca", "2019-05-04T12:00:00+01:00",
			[]string{"2019-05-05T02:30:00+01:00", "2019-05-06T02:30:00+00:00"}},
		{"Ramadan ends", "30 2 * * *", "Africa/Casablanca", "2019-06-08T12:00:00+00:00",
			[]string{"2019-06-09T03:00:00+01:00", "2019-06-10T02:30:00+01:00"}},
		{"winter time is the exception", "30 1 * * *", "Europe/Dublin", "2018-10-27T12:00:00+01:00",
			[]string{"2018-10-28T01:30:00+01:00", "2018-10-29T01:30:00+00:00"}},
		{"a day that never was", "0 3 * * *", "Pacific/Apia", "2011-12-29T03:00:00-10:00",
			[]string{"2011-12-31T00:00:00+14:00", "2011-12-31T03:00:00+14:00", "2012-01-01T03:00:00+14:00"}},
		{"a Friday that never was", "0 17 * * fri", "Pacific/Apia", "2011-12-23T17:00:00-10:00",
			[]string{"2011-12-31T00:00:00+14:00", "2012-01-06T17:00:00+14:00"}},
		{"no shift", "30 3 * * *", "Asia/Kolkata", "2026-03-29T00:00:00+05:30",
			[]string{"2026-03-29T03:30:00+05:30", "2026-03-30T03:30:00+05:30"}},
		{"a century without 29 February", "0 0 29 2 *", "Europe/Berlin", "2096-02-29T00:00:00+01:00",
			[]string{"2104-02-29T00:00:00+01:00", "2108-02-29T00:00:00+01:00"}},
		{"after the table of shifts ends", "30 2 * * *", "Europe/Berlin", "2200-03-29T12:00:00+02:00",
			[]string{"2200-03-30T03:00:00+02:00", "2200-03-31T02:30:00+02:00"}},
	} {
		at := instant(t, one.after)
		for _, text := range one.want {
			next := cron(t, one.text, one.zone).Next(at)
			if got := next.Format("2006-01-02T15:04:05-07:00"); got != text {
				t.Errorf("%s: %q in %s after %v is due %s, want %s", one.report, one.text, one.zone, at, got, text)
			}
			at = next
		}
	}
}

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestEveryFollowsRealTimeFrom1970On(t *testing.T) {
	for span, want := range map[time.Duration][]string{
		6 * time.Hour:    {"2019-10-05T18:00:00Z", "2019-10-06T00:00:00Z", "2019-10-06T06:00:00Z"},
		90 * time.Minute: {"2019-10-05T15:00:00Z", "2019-10-05T16:30:00Z"},
		7 * time.Hour:    {"2019-10-05T15:00:00Z", "2019-10-05T22:00:00Z"},
		24 * time.Hour:   {"2019-10-06T00:00:00Z", "2019-10-07T00:00:00Z"},
		time.Minute:      {"2019-10-05T14:01:00Z"},
	} {
		e, err := NewEvery(span)
		if err != nil {
			t.Fatal(err)
		}
		at := instant(t, "2019-10-06T00:00:00+10:00")
		for _, text := range want {
			if at = e.Next(at); at.Format(time.RFC3339) != text {
				t.Errorf("%v is due %v, want %s", e, at, text)
			}
		}
		if at.Unix()%int64(span/time.Second) != 0 {
			t.Errorf("%v is due %v, which no whole number of spans after 1970 is", e, at)
		}
	}
}
