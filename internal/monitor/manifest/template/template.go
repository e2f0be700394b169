// Package template holds the texts of a manifest in which values may stand:
// "{name}" is one whole value inside one argument and can never become two,
// "{{" and "}}" are literal braces. What a value contains is never read again.
package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// AllParams is the placeholder that stands for all params as one JSON object.
// No param can have this name.
const AllParams = "params"

// Values are typed values by name: string, int64, float64, bool, []any or
// map[string]any. A name that is missing has no value.
type Values map[string]any

// ValueError is a value that cannot stand where its param is named.
type ValueError struct{ Param, Reason string }

func (e *ValueError) Error() string { return e.Param + " " + e.Reason }

// Text is a parsed template like "--unit={unit}".
type Text struct {
	source string
	parts  []part
}

type part struct {
	literal string
	name    string // a placeholder when not empty
}

var paramName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// ParseText reads a template.
func ParseText(s string) (*Text, error) {
	t := &Text{source: s}
	if strings.ContainsRune(s, 0) {
		return nil, errors.New("a NUL character cannot stand here")
	}
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			t.literal(s)
			break
		}
		t.literal(s[:i])
		s = s[i:]
		switch {
		case strings.HasPrefix(s, "{{"), strings.HasPrefix(s, "}}"):
			t.literal(s[:1])
			s = s[2:]
		case s[0] == '}':
			return nil, errors.New(`a single "}" cannot stand here; write "}}" for a brace`)
		default:
			name, rest, closed := strings.Cut(s[1:], "}")
			if !closed {
				return nil, errors.New(`"{" is never closed; write "{{" for a brace`)
			}
			if list, spread := strings.CutSuffix(name, "..."); spread && paramName.MatchString(list) {
				return nil, fmt.Errorf("{%s} makes several arguments, so it must be an element of command by itself", name)
			}
			if !paramName.MatchString(name) {
				return nil, fmt.Errorf(`{%s} does not name a param; write "{{" and "}}" for braces`, name)
			}
			t.parts = append(t.parts, part{name: name})
			s = rest
		}
	}
	return t, nil
}

// String is the template as it was written.
func (t *Text) String() string { return t.source }

// literal appends s to the last part, so that no two literals are neighbours.
func (t *Text) literal(s string) {
	if s == "" {
		return
	}
	if n := len(t.parts); n > 0 && t.parts[n-1].name == "" {
		t.parts[n-1].literal += s
		return
	}
	t.parts = append(t.parts, part{literal: s})
}

// Names lists the params that t names, each once, in order.
func (t *Text) Names() []string {
	var names []string
	for _, p := range t.parts {
		if p.name != "" && !slices.Contains(names, p.name) {
			names = append(names, p.name)
		}
	}
	return names
}

// lead is the text before the first param.
func (t *Text) lead() string {
	if len(t.parts) == 0 {
		return ""
	}
	return t.parts[0].literal
}

// Parts puts the values in, each literal and each value apart: what was one value
// can never be taken for a value and what stands beside it.
func (t *Text) Parts(v Values) ([]string, error) {
	if len(t.parts) == 0 {
		return []string{""}, nil
	}
	parts := make([]string, len(t.parts))
	for i, p := range t.parts {
		value, err := p.expand(v)
		if err != nil {
			return nil, err
		}
		parts[i] = value
	}
	return parts, nil
}

// Expand puts the values in; a list or an object stands as JSON, and
// "{params}" is all of v as one JSON object. A *ValueError says which param
// has no value.
func (t *Text) Expand(v Values) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		value, err := p.expand(v)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
	}
	return b.String(), nil
}

func (p part) expand(v Values) (string, error) {
	switch value, ok := v[p.name]; {
	case p.name == "":
		return p.literal, nil
	case p.name == AllParams:
		return asJSON(map[string]any(v))
	case !ok:
		return "", &ValueError{p.name, "has no value"}
	default:
		return format(value)
	}
}

// format writes one value: integers in decimal, numbers as the shortest plain
// decimal, booleans as true or false.
func format(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	return asJSON(v)
}

func asJSON(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", fmt.Errorf("cannot write a value as JSON: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}
