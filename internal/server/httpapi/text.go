package httpapi

import (
	"unicode/utf8"
)

// wholeRunes is how much of p can be shown now: what follows is the beginning
// of a character whose other bytes may still come.
func wholeRunes(p []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(p); i++ {
		if at := len(p) - i; utf8.RuneStart(p[at]) {
			if !utf8.FullRune(p[at:]) {
				return at
			}
			break
		}
	}
	return len(p)
}

// brokenStart is how many bytes p begins with that belong to a character whose
// beginning was cut off.
func brokenStart(p []byte) int {
	n := 0
	for n < len(p) && n < utf8.UTFMax-1 && !utf8.RuneStart(p[n]) {
		n++
	}
	return n
}

// appendText appends p to a JSON string; each invalid byte becomes U+FFFD.
func appendText(b, p []byte) []byte {
	quoted, err := encode(string(p)) // "…" and a newline
	if err != nil {
		return b // a string can always be encoded
	}
	return append(b, quoted[1:len(quoted)-2]...)
}
