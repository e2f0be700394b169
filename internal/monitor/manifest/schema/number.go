package schema

import (
	"math"
	"regexp"
	"strconv"
	"strings"

	"deputy"
)

// jsonNumber is RFC 8259's number: whole digits, fraction, exponent.
var jsonNumber = regexp.MustCompile(`^(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$`)

// integer reads v exactly, with no detour through a float: 1.0 and 1e2 are
// integers, 1.5 and 1e30 are not.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case float64: // of a TOML file; every float below 2^63 that is whole is exact
		return int64(v), v == math.Trunc(v) && v >= -(1<<63) && v < 1<<63
	case deputy.Number:
		return parseInteger(string(v))
	case deputy.Text:
		return parseInteger(string(v))
	}
	return 0, false
}

func parseInteger(s string) (int64, bool) {
	m := jsonNumber.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	digits := strings.TrimLeft(m[2]+m[3], "0")
	if digits == "" {
		return 0, true // whatever the exponent
	}
	exponent := 0
	if m[4] != "" {
		var err error
		if exponent, err = strconv.Atoi(m[4]); err != nil || exponent > len(s)+19 {
			return 0, false
		}
	}
	significant := strings.TrimRight(digits, "0")
	zeros := exponent - len(m[3]) + len(digits) - len(significant)
	if zeros < 0 || len(significant)+zeros > 19 { // 2^63 has 19 digits
		return 0, false
	}
	n, err := strconv.ParseInt(m[1]+significant+strings.Repeat("0", zeros), 10, 64)
	return n, err == nil
}

// number reads v as the nearest float64; beyond its range there is none.
func number(v any) (float64, bool) {
	var n float64
	switch v := v.(type) {
	case int64:
		n = float64(v)
	case float64:
		n = v
	case deputy.Number:
		return parseNumber(string(v))
	case deputy.Text:
		return parseNumber(string(v))
	default:
		return 0, false
	}
	return n + 0, !math.IsNaN(n) && !math.IsInf(n, 0) // -0 + 0 is 0
}

func parseNumber(s string) (float64, bool) {
	if !jsonNumber.MatchString(s) {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	return n + 0, err == nil
}
