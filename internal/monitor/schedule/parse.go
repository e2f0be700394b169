package schedule

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// A text is read in one way or refused: what crons understand differently is no schedule
// here. An error says where in the text it begins, and what to write instead.

// ParseCron reads five fields as in crontab(5), with blanks between them: minute
// 0-59, hour 0-23, day of month 1-31, month 1-12 or jan to dec, day of week 0-7 or
// sun to sat, where 0 and 7 are Sunday. A field is "*", a number, a name, a range
// "9-17", a step "*/15" or "9-17/2", or a list of these: "0,30". Or it is one of
// @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually.
//
// What crons read in different ways, or never run, is refused, always with an
// *Error: a day of the month beside a day of the week, a step that leaves one value,
// a range that is empty, a date that no year has.
func ParseCron(text string, zone *time.Location) (*Cron, error) {
	p := &parser{text: text}
	c, err := p.cron()
	if err != nil {
		return nil, err
	}
	c.zone = zone
	return c, nil
}

// longest is enough for every minute, hour, day and month written out.
const longest = 512

func nickname(text string) string {
	switch text {
	case "@hourly":
		return "0 * * * *"
	case "@daily", "@midnight":
		return "0 0 * * *"
	case "@weekly":
		return "0 0 * * 0"
	case "@monthly":
		return "0 0 1 * *"
	case "@yearly", "@annually":
		return "0 0 1 1 *"
	}
	return ""
}

type parser struct{ text string }

// refuse makes the error of what begins at a place of the text.
func (p *parser) refuse(at int, remedy, format string, args ...any) error {
	text := p.text
	if len(text) > longest {
		text = text[:60] + "…"
	}
	return &Error{Key: "cron", Text: text, At: at, Reason: fmt.Sprintf(format, args...), Remedy: remedy}
}

// part is a piece of the text, and where it begins.
type part struct {
	text string
	at   int
}

func (p part) cut(separator string) (before, after part, found bool) {
	a, b, found := strings.Cut(p.text, separator)
	return part{a, p.at}, part{b, p.at + len(a) + len(separator)}, found
}

func blank(r rune) bool { return r == ' ' || r == '\t' }

// parts divides the text at blanks.
func (p *parser) parts() (parts []part) {
	rest := part{p.text, 0}
	for {
		trimmed := strings.TrimLeftFunc(rest.text, blank)
		rest = part{trimmed, rest.at + len(rest.text) - len(trimmed)}
		if rest.text == "" {
			return parts
		}
		end := strings.IndexFunc(rest.text, blank)
		if end < 0 {
			end = len(rest.text)
		}
		parts = append(parts, part{rest.text[:end], rest.at})
		rest = part{rest.text[end:], rest.at + end}
	}
}

func (p *parser) cron() (*Cron, error) {
	if len(p.text) > longest {
		return nil, p.refuse(0, `write ranges and steps ("0-30/2")`, "it is longer than %d bytes", longest)
	}
	if i := strings.IndexFunc(p.text, func(r rune) bool { return r != '\t' && (r < ' ' || r > '~') }); i >= 0 {
		r, _ := utf8.DecodeRuneInString(p.text[i:])
		return nil, p.refuse(i, `write it on one line, in digits, ASCII letters and "*,-/"`, "%q cannot stand in it", r)
	}
	parts := p.parts()
	if err := p.form(parts); err != nil {
		return nil, err
	}
	if len(parts) == 1 {
		parts = (&parser{text: nickname(strings.ToLower(parts[0].text))}).parts()
	}
	var c Cron
	for i, to := range []*set{&c.minutes, &c.hours, &c.days, &c.months, &c.weekdays} {
		values, star, err := p.field(fields(i), parts[i])
		if err != nil {
			return nil, err
		}
		*to = values
		if i == hourField {
			c.real = star || values == full(hourField)
		}
	}
	return &c, p.dates(&c, parts)
}

// form checks that there are five fields, or a nickname.
func (p *parser) form(parts []part) error {
	const five = `write five fields: minute, hour, day of month, month, day of week ("30 3 * * *")`
	switch {
	case len(parts) == 0:
		return p.refuse(0, five, "it is empty")
	case strings.HasPrefix(parts[0].text, "@"):
		return p.nickname(parts)
	case strings.Contains(parts[0].text, "="):
		return p.refuse(parts[0].at, `write zone = "…" beside cron`, "%q is a setting, not a minute", parts[0].text)
	case len(parts) > 5:
		return p.refuse(parts[5].at, five+", without seconds, year, user or command", "it has %d fields, not five", len(parts))
	case len(parts) < 5:
		return p.refuse(len(p.text), five, "it has %d of five fields", len(parts))
	}
	return nil
}

func (p *parser) nickname(parts []part) error {
	const known = "write @hourly, @daily, @midnight, @weekly, @monthly, @yearly or @annually"
	first := parts[0]
	switch name := strings.ToLower(first.text); {
	case name == "@reboot":
		return p.refuse(first.at, `have a unit of the service manager run "deputy run" at boot`, "a schedule names times, and @reboot is none")
	case name == "@every":
		return p.refuse(first.at, `write every = "6h" in the place of cron`, "@every is not known here")
	case nickname(name) == "":
		return p.refuse(first.at, known, "%s is not known here", quote(first.text))
	case len(parts) > 1:
		return p.refuse(parts[1].at, "write "+name+" alone, or five fields", "something follows %s", name)
	}
	return nil
}

// dates refuses what crons understand differently, and dates that do not exist.
func (p *parser) dates(c *Cron, parts []part) error {
	days, weekdays := parts[dayField], parts[weekdayField]
	if !every(days.text) && !every(weekdays.text) {
		return p.refuse(days.at, "write two schedules, one for each", "it restricts both the day of month %q and the day of week %q, which crons join in different ways", days.text, weekdays.text)
	}
	for month := 1; month <= 12; month++ {
		longest := date{year: 2000, month: month}.length() // a leap year
		if c.months.has(month) && c.days.below(longest+1) != 0 {
			return nil
		}
	}
	return p.refuse(days.at, "correct the day of month or the month", "it never comes: no year has day %q in month %q", days.text, parts[monthField].text)
}

func every(text string) bool { return text == "*" || text == "*/1" }
