package schema

import (
	"fmt"
	"strconv"
	"strings"

	"deputy"
)

// describe says what a value of p must be: "an integer from 1 to 65535".
func (p *Param) describe() string {
	switch {
	case p.Const != nil:
		return show(p.Const)
	case p.Enum != nil:
		return "one of " + list(p.Enum)
	case p.Formats != nil:
		var said []string
		for _, f := range p.formats() {
			if f.name == "path" {
				f.wants += p.Under
			}
			said = append(said, f.wants)
		}
		return strings.Join(said, " or ")
	case p.Pattern != nil:
		return "text like " + p.Pattern.String()
	}
	switch p.Type {
	case "string":
		return "a string"
	case "integer":
		return "an integer" + interval(p.Minimum, p.Maximum)
	case "number":
		return "a number" + interval(p.Minimum, p.Maximum)
	case "boolean":
		return "true or false"
	case "array":
		return "a list"
	}
	return "an object"
}

func interval(low, high any) string {
	switch {
	case low != nil && high != nil:
		return " from " + show(low) + " to " + show(high)
	case low != nil:
		return " of at least " + show(low)
	case high != nil:
		return " of at most " + show(high)
	}
	return ""
}

func within(n int, low, high *int) bool {
	return (low == nil || n >= *low) && (high == nil || n <= *high)
}

// bounds says how many there must be: "from 1 to 100 items".
func bounds(low, high *int, unit string) string {
	many := func(n int) string {
		if n == 1 {
			return "1 " + unit
		}
		return strconv.Itoa(n) + " " + unit + "s"
	}
	switch {
	case high == nil:
		return "at least " + many(*low)
	case low == nil:
		return "at most " + many(*high)
	case *low == *high:
		return "exactly " + many(*low)
	}
	return fmt.Sprintf("from %d to %s", *low, many(*high))
}

// show writes a value for a message, whatever it holds, in at most a line.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return clip(v)
	case deputy.Text:
		return clip(string(v))
	case deputy.Number:
		if !jsonNumber.MatchString(string(v)) {
			return clip(string(v))
		}
		return fmt.Sprintf("%.40s", string(v))
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprint(v)
}

// show keeps 5 and "5" apart where a string is wanted.
func (p *Param) show(v any) string {
	switch v.(type) {
	case deputy.Number, int64, float64:
		if p.Type == "string" {
			return "the number " + show(v)
		}
	}
	return show(v)
}

func list(values []any) string {
	const most = 20
	said := make([]string, 0, most)
	for _, v := range values[:min(len(values), most)] {
		said = append(said, show(v))
	}
	if len(values) > most {
		said = append(said, "…")
	}
	return strings.Join(said, ", ")
}

// clip quotes the beginning of s.
func clip(s string) string {
	if r := []rune(s); len(r) > 40 {
		return strconv.Quote(string(r[:40])) + "…"
	}
	return strconv.Quote(s)
}

// Nearest gives the known word that a writer of word most likely meant, "" if
// none is near.
func Nearest(word string, known []string) string {
	best, most := "", min(2, len(word)/2)
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d <= most {
			best, most = k, d-1
		}
	}
	return best
}

// distance is Levenshtein's, of bytes; a word of which no name can be a
// misspelling is infinitely far.
func distance(a, b string) int {
	if len(a) > len(b)+2 || len(b) > len(a)+2 {
		return 3
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
