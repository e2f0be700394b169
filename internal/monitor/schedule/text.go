package schedule

import (
	"strconv"
	"strings"
)

// What is written here is read again as the same schedule; and two schedules of the same
// times have the same text.

// String writes the five fields in the one form that stands for these times: with
// numbers, Sunday as 0, values in order, "*" for all, "*/15", "9-17" and "0-20/5"
// where that is shorter. ParseCron reads the same schedule from it.
func (c *Cron) String() string {
	texts := make([]string, 5)
	for i, values := range []set{c.minutes, c.hours, c.days, c.months, c.weekdays} {
		texts[i] = write(values, fields(i), i == hourField, c.real)
	}
	return strings.Join(texts, " ")
}

// write gives the text of one field. In the hours a "*" must stand if, and only if,
// they follow real time.
func write(values set, f field, hours, real bool) string {
	if values == set(0).span(f.low, f.high, 1) {
		return "*"
	}
	for step := 2; step <= f.high-f.low && (!hours || real); step++ {
		stepped := set(0).span(f.low, f.high, step)
		switch {
		case hours && values&stepped == stepped && values != stepped:
			return "*/" + strconv.Itoa(step) + "," + list(values&^stepped)
		case values == stepped && (hours || stepped.size() > 2):
			return "*/" + strconv.Itoa(step)
		}
	}
	return list(values)
}

// list writes values without "*": as one range with a step if they are one, else as
// single values and ranges.
func list(values set) string {
	low := values.from(0)
	high := low
	for next := values.from(low + 1); next >= 0; next = values.from(next + 1) {
		high = next
	}
	for step := 2; values.size() > 3 && step <= high-low; step++ {
		if values == set(0).span(low, high, step) {
			return strconv.Itoa(low) + "-" + strconv.Itoa(high) + "/" + strconv.Itoa(step)
		}
	}
	var items []string
	for low = values.from(0); low >= 0; low = values.from(high + 1) {
		for high = low; values.has(high + 1); {
			high++
		}
		switch item := strconv.Itoa(low); {
		case high > low+1:
			items = append(items, item+"-"+strconv.Itoa(high))
		case high > low:
			items = append(items, item, strconv.Itoa(high))
		default:
			items = append(items, item)
		}
	}
	return strings.Join(items, ",")
}
