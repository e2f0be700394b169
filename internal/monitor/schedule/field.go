package schedule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A field that is read holds at least one value, and only values that it may have.
// Whatever is refused says what was meant, or what to write.

// field says what a field may hold.
type field struct {
	name      string
	low, high int // of weekdays 7 is read too
	names     []string
}

const (
	minuteField = iota
	hourField
	dayField
	monthField
	weekdayField
)

func fields(i int) field {
	return [...]field{
		{name: "minute", high: 59},
		{name: "hour", high: 23},
		{name: "day of month", low: 1, high: 31},
		{name: "month", low: 1, high: 12, names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
		{name: "day of week", high: 6, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
	}[i]
}

// full are all values of a field.
func full(i int) set {
	f := fields(i)
	return set(0).span(f.low, f.high, 1)
}

// span are the values and those from low to high in steps.
func (s set) span(low, high, step int) set {
	for value := low; value <= high; value += step {
		s |= 1 << value
	}
	return s
}

// field reads a list. star says that there was a "*" in it.
func (p *parser) field(f field, list part) (values set, star bool, err error) {
	for more := true; more; {
		var item part
		item, list, more = list.cut(",")
		low, high, step, err := p.item(f, item)
		if err != nil {
			return 0, false, err
		}
		star = star || strings.HasPrefix(item.text, "*")
		values = values.span(low, high, step)
	}
	if values.has(7) && f.high == 6 {
		values = values&^(1<<7) | 1
	}
	return values, star, nil
}

// item reads "*", "5", "mon", "1-5", "*/15" or "1-5/2".
func (p *parser) item(f field, item part) (low, high, step int, err error) {
	what, after, stepped := item.cut("/")
	first, second, ranged := what.cut("-")
	switch {
	case what.text == "*":
		low, high = f.low, f.high
	case ranged:
		low, high, err = p.bounds(f, what, first, second)
	default:
		low, err = p.value(f, what)
		high = low
	}
	if err != nil || !stepped {
		return low, high, 1, err
	}
	if what.text != "*" && !ranged {
		return 0, 0, 0, p.refuse(item.at, fmt.Sprintf("write the range: %q", f.show(low)+"-"+f.show(f.high)+"/"+brief(after.text)), "the step of %s %s has no range", f.name, quote(item.text))
	}
	step, ok := number(after.text)
	switch {
	case !ok:
		return 0, 0, 0, p.refuse(after.at, `write a number after "/" ("*/2")`, "the step of %s %s is no number", f.name, quote(item.text))
	case step == 0:
		return 0, 0, 0, p.refuse(after.at, `write 1 or more after "/"`, "the step of %s %s is 0", f.name, quote(item.text))
	case step == 1 && low == high:
	case step > high-low:
		return 0, 0, 0, p.refuse(after.at, f.alone(low, step), "the step of %s %s leaves %d alone", f.name, quote(item.text), low)
	}
	return low, high, step, nil
}

// alone is what is written for a step that leaves one value: that value, or the span
// that was meant.
func (f field) alone(low, step int) string {
	remedy := fmt.Sprintf(`write "%d"`, low)
	unit := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour}[f.name]
	if span := time.Duration(step) * unit; span > 0 && span <= longestEvery {
		remedy += fmt.Sprintf(`, or every = %q in the place of cron`, short(span))
	}
	return remedy
}

// bounds reads the two ends of a range.
func (p *parser) bounds(f field, all, first, second part) (low, high int, err error) {
	if low, err = p.value(f, first); err != nil {
		return 0, 0, err
	}
	if high, err = p.value(f, second); err != nil {
		return 0, 0, err
	}
	if strings.EqualFold(second.text, "sun") && low > 0 {
		high = 7
	}
	if low > high {
		return 0, 0, p.refuse(all.at, p.turned(f, low, high), "%s %s is an empty range", f.name, quote(all.text))
	}
	return low, high, nil
}

// turned is what a range that ends before it begins was meant to be.
func (p *parser) turned(f field, low, high int) string {
	one := func(low, high int) string {
		if low == high {
			return f.show(low)
		}
		return f.show(low) + "-" + f.show(high)
	}
	switch {
	case f.high == 6 && high == 0:
		return fmt.Sprintf("write %q", one(low, 7))
	case low > f.high:
		return fmt.Sprintf("write %q", one(f.low, high))
	}
	return fmt.Sprintf("write %q", one(low, f.high)+","+one(f.low, high))
}

// show writes a value as an administrator would.
func (f field) show(value int) string {
	if f.names != nil {
		return f.names[(value-f.low)%len(f.names)]
	}
	return strconv.Itoa(value)
}

// foreign are signs of other schedulers, with what they are called and what is
// written for them here.
func foreign(text string) (meaning, remedy string) {
	switch {
	case text == "?":
		return "no value", `write "*"`
	case strings.Contains(text, "#"), strings.HasSuffix(strings.ToUpper(text), "L"):
		return "the n-th or last day", "write a day of the month, and have the task look whether it is the one"
	case strings.HasSuffix(strings.ToUpper(text), "W"):
		return "the nearest working day", "write a day of the month, and have the task look whether it is the one"
	case strings.Contains(text, "~"), strings.HasPrefix(strings.ToUpper(text), "H"):
		return "a random value", `write a value, and spread = "30m" beside cron`
	}
	return "", ""
}

// value reads a number or a name.
func (p *parser) value(f field, v part) (int, error) {
	high := f.high
	if f.high == 6 {
		high = 7
	}
	allowed := fmt.Sprintf("write %d to %d", f.low, high)
	if f.names != nil {
		allowed += ", or " + f.names[0] + " to " + f.names[len(f.names)-1]
	}
	if i := slices.Index(f.names, strings.ToLower(v.text)); i >= 0 {
		return f.low + i, nil
	}
	n, ok := number(v.text)
	switch meaning, remedy := foreign(v.text); {
	case v.text == "":
		return 0, p.refuse(v.at, allowed, "a number is missing for the %s", f.name)
	case !ok && digits(v.text), n > high:
		return 0, p.refuse(v.at, allowed, "%s %s is above %d", f.name, brief(v.text), high)
	case ok && n < f.low:
		return 0, p.refuse(v.at, allowed, "%s %s is below %d", f.name, v.text, f.low)
	case ok:
		return n, nil
	case meaning != "":
		return 0, p.refuse(v.at, remedy, "%s %s stands for %s, which is not known here", f.name, quote(v.text), meaning)
	case strings.HasPrefix(v.text, "*"):
		return 0, p.refuse(v.at, `write "*" alone, or with a step: "*/2"`, "%s %s begins with a * that something follows", f.name, quote(v.text))
	}
	return 0, p.refuse(v.at, allowed, "%s %s is not known", f.name, quote(v.text))
}

func digits(text string) bool { return strings.Trim(text, "0123456789") == "" }

// number reads a number of a few digits.
func number(text string) (int, bool) {
	if text == "" || len(text) > 4 || !digits(text) {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}

func quote(text string) string { return strconv.Quote(brief(text)) }

// brief cuts what is too long for a sentence.
func brief(text string) string {
	if len(text) > 40 {
		return text[:40] + "…"
	}
	return text
}
