package request

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is the longest name that anything has, of an end user too, and the
// longest idempotency key, in bytes.
const MaxName = 255

// plausible says whether s may cross the wall as a name: a longer or broken one
// would break the protocol, and the monitor ends a server that does that.
func plausible(s string) bool { return len(s) <= MaxName && utf8.ValidString(s) }

// IsName says whether s could be a name that stands in a path and crosses the wall.
func IsName(s string) bool { return plausible(s) && !strings.Contains(s, "/") }

// IsEndUser says whether s may be the name of an end user: one line of UTF-8. A
// blank at an edge is none of it: transports drop it, and people do not see it.
func IsEndUser(s string) bool {
	return s != "" && len(s) <= MaxName && utf8.ValidString(s) && strings.TrimSpace(s) == s &&
		strings.IndexFunc(s, unicode.IsControl) < 0 && !strings.ContainsRune(s, utf8.RuneError)
}

// IsKey says whether s may be an idempotency key: visible ASCII.
func IsKey(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= MaxName
}
