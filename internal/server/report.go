package server

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxStatus is how much of a STATUS is kept, in bytes.
const maxStatus = 512

// report is what one or several datagrams of a task tell; nil: nothing.
type report struct {
	percent *float64
	status  *string
}

func (r report) empty() bool { return r.percent == nil && r.status == nil }

// merge takes over what a later report tells.
func (r *report) merge(later report) {
	if later.percent != nil {
		r.percent = later.percent
	}
	if later.status != nil {
		r.status = later.status
	}
}

// parseReport reads the lines of a datagram. Those that it does not know, or
// that make no sense, are passed over, as sd_notify's receivers do.
func parseReport(datagram []byte) (r report) {
	for line := range strings.SplitSeq(string(datagram), "\n") {
		name, value, _ := strings.Cut(line, "=")
		switch name {
		case "STATUS":
			status := cleanStatus(value)
			r.status = &status
		case "X_PERCENT":
			percent, err := strconv.ParseFloat(value, 64)
			if err == nil && !math.IsNaN(percent) && 0 <= percent && percent <= 100 {
				r.percent = &percent
			}
		}
	}
	return r
}

// cleanStatus makes of value a text of one line that no terminal obeys.
func cleanStatus(value string) string {
	if len(value) > maxStatus {
		value = value[:maxStatus]
		for !utf8.FullRuneInString(value[lastRune(value):]) {
			value = value[:lastRune(value)]
		}
	}
	value = strings.ToValidUTF8(value, string(utf8.RuneError))
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, value)
}

// lastRune is where the last character of s begins.
func lastRune(s string) int {
	i := len(s) - 1
	for i > 0 && !utf8.RuneStart(s[i]) {
		i--
	}
	return max(i, 0)
}
