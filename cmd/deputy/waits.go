package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"deputy"
)

// waitWords says what a task waits for: "waits for its lock, held by …39e8184c", "3rd in
// apt", "tries again in 2 min". It is "" for one that waits for nothing.
func waitWords(t *deputy.Task, now time.Time) string {
	w := t.Waiting
	if w == nil {
		return ""
	}
	switch w.For {
	case deputy.ForLock:
		if w.Task != nil {
			return "waits for its lock, held by …" + short(*w.Task)
		}
		return "waits for its lock"
	case deputy.ForQueue:
		if w.Position != nil {
			return ordinal(*w.Position+1) + " in " + printable(deref(w.Queue))
		}
		return "waits in " + printable(deref(w.Queue))
	case deputy.ForRetry:
		return "tries again" + within(w.Until, now)
	case deputy.ForDebounce:
		return "waits for more of its kind, starts" + within(w.Until, now)
	case deputy.ForApproval:
		return "waits for approval" + approversWords(t.Approval) + untilWords(w.Until, now)
	}
	return "waits for " + printable(string(w.For)) + untilWords(w.Until, now)
}

func within(until *deputy.Time, now time.Time) string {
	if until == nil {
		return ""
	}
	return " in " + took(max(0, until.Sub(now)))
}

// untilWords writes a time of the same day as " until 14:05".
func untilWords(until *deputy.Time, now time.Time) string {
	switch {
	case until == nil:
		return ""
	case until.Sub(now) < 12*time.Hour:
		return " until " + until.In(now.Location()).Format("15:04")
	}
	return " until " + until.In(now.Location()).Format("2006-01-02 15:04")
}

// approversWords says of whom an approval is needed: " by ops".
func approversWords(a *deputy.Approval) string {
	if a == nil {
		return ""
	}
	var all []string
	for _, by := range a.By {
		for _, names := range [][]string{by.Users, by.Groups, by.Keys, by.EndUsers} {
			all = append(all, names...)
		}
	}
	if len(all) == 0 {
		return ""
	}
	return " by " + printable(strings.Join(all, ", "))
}

// ordinal writes 1st, 2nd, 3rd, 4th, 11th, 21st.
func ordinal(n int) string {
	ending := "th"
	if n/10%10 != 1 {
		switch n % 10 {
		case 1:
			ending = "st"
		case 2:
			ending = "nd"
		case 3:
			ending = "rd"
		}
	}
	return strconv.Itoa(n) + ending
}

// attemptLines says what became of each attempt, where there was more than one.
func attemptLines(t *deputy.Task) [][2]string {
	if len(t.Attempts) < 2 {
		return nil
	}
	var lines [][2]string
	for _, a := range t.Attempts {
		text := "lives"
		switch {
		case a.Ended != nil && a.Reason != nil:
			text = *a.Reason
		case a.Ended != nil:
			text = exitWords(a.Exit)
		}
		if a.Started != nil {
			text += ", started " + a.Started.String()
		}
		lines = append(lines, [2]string{"attempt " + strconv.Itoa(a.Attempt), text})
	}
	return lines
}

// usageWords writes what was counted of what a task took.
func usageWords(u *deputy.Usage) string {
	if u == nil {
		return ""
	}
	var words []string
	add := func(n *int64, format string) {
		if n != nil {
			words = append(words, fmt.Sprintf(format, *n))
		}
	}
	add(u.CPUMS, "%d ms of processor time")
	add(u.ThrottledMS, "%d ms throttled")
	add(u.MemoryPeak, "at most %d bytes of memory")
	add(u.ProcessesPeak, "at most %d processes")
	add(u.IOBytes, "%d bytes read and written")
	if u.OOM != nil {
		words = append(words, "out of memory: "+map[string]string{"limit": "its own limit", "above": "the machine's"}[*u.OOM])
	}
	return strings.Join(words, ", ")
}

// confirmWords says how the window stands in which a task can be confirmed.
func confirmWords(c *deputy.Confirm) string {
	if c == nil {
		return ""
	}
	text := "open until " + c.Until.String()
	if c.Outcome != nil {
		text = strings.ReplaceAll(*c.Outcome, "_", " ")
	}
	if c.Task != nil {
		text += ", by task " + *c.Task
	}
	return text
}

// approvalWords says who has approved a task.
func approvalWords(a *deputy.Approval) string {
	if a == nil {
		return ""
	}
	text := "needed" + approversWords(a) + " until " + a.Until.String()
	for _, given := range a.Given {
		text += "; given by " + callerWords(given.Caller)
		if given.EndUser != nil {
			text += " for " + *given.EndUser
		}
	}
	return text
}
