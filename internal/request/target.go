// Package request is the one reader of what an HTTP request asks for: its target
// and its body. The server asks the monitor by it, and the monitor derives from it,
// once it has verified the signature, what a signed request asks for: what one side
// has read means the same on the other, and both refuse the same.
package request

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Target is a request's target in the form of a path and perhaps a query (RFC
// 9112, section 3.2.1; RFC 3986, sections 3.3 and 3.4).
type Target struct {
	Path  []string   // its segments, each decoded: a "/" that came as %2F is a part of a name, and separates nothing
	Query url.Values // nil: there is none
}

// ParseTarget reads a target as it was sent.
func ParseTarget(text string) (t Target, err error) {
	if !strings.HasPrefix(text, "/") {
		return t, fmt.Errorf("cannot take %.100q for a target: send the path alone, and the server in Host", text)
	}
	path, query, queried := strings.Cut(text, "?")
	for i := range len(path) {
		if !inPath(path[i]) {
			return t, fmt.Errorf("cannot take this target: byte %d of its path may not stand there as it is; write %%%02X", i, path[i])
		}
	}
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c > '~' || c == '#' {
			return t, fmt.Errorf("cannot take this target: byte %d of its query may not stand there as it is; write %%%02X", i, c)
		}
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		name, err := url.PathUnescape(segment)
		if err != nil {
			return t, fmt.Errorf("cannot take this target: %w; write %% as %%25", err)
		}
		t.Path = append(t.Path, name)
	}
	if !queried || query == "" {
		return t, nil
	}
	if t.Query, err = url.ParseQuery(query); err != nil {
		return t, fmt.Errorf("cannot read the query: %w", err)
	}
	return t, nil
}

// inPath says whether a path may hold c as it is: pchar, its separator, and the %
// of what is encoded (RFC 3986, section 3.3).
func inPath(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~!$&'()*+,;=:@/%", c) >= 0
}

// Is says whether the path is of this form, in which "*" stands for any name.
func (t Target) Is(form ...string) bool {
	if len(t.Path) != len(form) {
		return false
	}
	for i, segment := range form {
		if segment != t.Path[i] && (segment != "*" || t.Path[i] == "") {
			return false
		}
	}
	return true
}

// Only gives the query, whose parameters must be among names, each at most once
// except for "state".
func (t Target) Only(names ...string) (url.Values, error) {
	for _, name := range slices.Sorted(maps.Keys(t.Query)) {
		switch {
		case !slices.Contains(names, name) && len(names) == 0:
			return nil, refuse("cannot use the query parameter %.50q: this path takes none", name)
		case !slices.Contains(names, name):
			return nil, refuse("cannot use the query parameter %.50q: this path takes %s", name, strings.Join(names, ", "))
		case len(t.Query[name]) > 1 && name != "state":
			return nil, refuse("cannot use the query parameter %q: it stands twice; send it once", name)
		}
	}
	return t.Query, nil
}
