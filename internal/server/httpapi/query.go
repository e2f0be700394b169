package httpapi

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxWait is the longest that an answer is held. Who asks for more is answered
// after this.
const maxWait = time.Hour

// number reads a whole number that is not negative; ok says whether it is there.
func number(values url.Values, name string) (n int64, ok bool, err error) {
	if !values.Has(name) {
		return 0, false, nil
	}
	text := values.Get(name)
	n, err = parseNumber(text)
	if err != nil {
		return 0, false, badRequest("cannot use %s=%.30q: it must be a whole number, 0 or more", name, text)
	}
	return n, true, nil
}

// parseNumber reads decimal digits alone.
func parseNumber(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	return int64(n), err
}

// wait reads how long the answer may be held: the query's wait, otherwise that
// of Prefer (RFC 7240, section 4.3). asked is false where neither is there.
func (x *exchange) wait(values url.Values) (d time.Duration, asked bool, err error) {
	n, asked, err := number(values, "wait")
	if err == nil && !asked {
		n, asked, err = x.prefer()
	}
	return min(time.Duration(min(n, int64(maxWait/time.Second)))*time.Second, maxWait), asked, err
}

func (x *exchange) prefer() (seconds int64, asked bool, err error) {
	for _, line := range x.r.Header["Prefer"] {
		for preference := range strings.SplitSeq(line, ",") {
			preference, _, _ = strings.Cut(preference, ";")
			name, value, _ := strings.Cut(preference, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			value = strings.Trim(strings.TrimSpace(value), `"`)
			if seconds, err = parseNumber(value); err != nil {
				return 0, false, badRequest("cannot use Prefer: wait=%.30q: it must be a whole number, 0 or more", value)
			}
			return seconds, true, nil
		}
	}
	return 0, false, nil
}
