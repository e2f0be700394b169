// Package strictjson is the one reader of JSON on both sides of the wall. It
// takes what RFC 8259 allows and refuses whatever two readers could understand
// differently: a name that stands twice, names that differ only in case, text
// after the value, invalid UTF-8, lone surrogates, NUL. What one side has
// checked therefore means the same on the other.
package strictjson

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// Limits bound what one document may cost. A zero member takes its default.
type Limits struct {
	Bytes int // length of the whole text; default 1 MiB
	Depth int // arrays and objects within one another; default 32
	Items int // members and array items in all; default 100,000
}

func (l Limits) withDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = 1 << 20
	}
	if l.Depth == 0 {
		l.Depth = 32
	}
	if l.Items == 0 {
		l.Items = 100_000
	}
	return l
}

// Error says where and why a text was refused, and what to do about it. It
// never shows a value, only names, since a value may be secret.
type Error struct {
	Offset    int    // bytes before the place
	Line, Col int    // from 1; Col counts characters
	Reason    string // "reason; remedy"
	TooLarge  bool   // it is longer than Limits.Bytes: nothing of it was read
}

func (e *Error) Error() string {
	return fmt.Sprintf("cannot read JSON: line %d, column %d: %s", e.Line, e.Col, e.Reason)
}

// Parse reads one JSON value. It gives map[string]any, []any, string,
// deputy.Number (as written), bool or nil; an error is always an *Error. The
// result holds no reference to data.
func Parse(data []byte, limits Limits) (any, error) {
	limits = limits.withDefaults()
	if len(data) > limits.Bytes {
		return nil, &Error{Line: 1, Col: 1, TooLarge: true,
			Reason: fmt.Sprintf("it is %d bytes long, the limit is %d; send less", len(data), limits.Bytes)}
	}
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		return nil, newError(data, 0, "it starts with a byte order mark; send UTF-8 without one")
	}
	p := &parser{data: data, limits: limits}
	p.space()
	value, err := p.value(0)
	if err != nil {
		return nil, err
	}
	p.space()
	if p.at < len(data) {
		return nil, p.fail("%s stands after the end of the value; send one value alone", p.here())
	}
	return value, nil
}

// Object reads a text whose value must be an object. A text of white space
// alone and an empty array count as {}: that is how some languages write "no
// parameters".
func Object(data []byte, limits Limits) (map[string]any, error) {
	if len(bytes.Trim(data, " \t\r\n")) == 0 && len(data) <= limits.withDefaults().Bytes {
		return map[string]any{}, nil
	}
	value, err := Parse(data, limits)
	if err != nil {
		return nil, err
	}
	switch v := value.(type) {
	case map[string]any:
		return v, nil
	case []any:
		if len(v) == 0 {
			return map[string]any{}, nil
		}
	}
	start := len(data) - len(bytes.TrimLeft(data, " \t\r\n"))
	return nil, newError(data, start, fmt.Sprintf("an object is needed here, not %s; send {\"name\": value}", kind(value)))
}

// newError places reason at offset in data.
func newError(data []byte, offset int, reason string) *Error {
	before := data[:offset]
	lineStart := bytes.LastIndexByte(before, '\n') + 1
	return &Error{
		Offset: offset,
		Line:   bytes.Count(before, []byte{'\n'}) + 1,
		Col:    utf8.RuneCount(before[lineStart:]) + 1,
		Reason: reason,
	}
}

func kind(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case []any:
		return "an array"
	default:
		return "a number"
	}
}
