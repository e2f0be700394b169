package strictjson

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"deputy"
)

// parser reads one text from front to back. Its recursion is bounded by
// limits.Depth, its memory by limits.Bytes and limits.Items.
type parser struct {
	data   []byte
	at     int // the next byte
	items  int // members and array items seen so far
	limits Limits
}

// fail refuses the text at the next byte.
func (p *parser) fail(format string, args ...any) *Error {
	return newError(p.data, p.at, fmt.Sprintf(format, args...))
}

// here names the next character for a message.
func (p *parser) here() string {
	if p.at >= len(p.data) {
		return "the end"
	}
	r, size := utf8.DecodeRune(p.data[p.at:])
	if r == utf8.RuneError && size == 1 {
		return fmt.Sprintf("the byte 0x%02x", p.data[p.at])
	}
	return fmt.Sprintf("%+q", r)
}

func (p *parser) space() {
	for p.at < len(p.data) {
		switch p.data[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		default:
			return
		}
	}
}

// peek gives the next byte, and 0, which no JSON token starts with, at the end.
func (p *parser) peek() byte {
	if p.at < len(p.data) {
		return p.data[p.at]
	}
	return 0
}

// value reads the value at the next byte, depth arrays and objects within others.
func (p *parser) value(depth int) (any, error) {
	switch c := p.peek(); {
	case c == '{' || c == '[':
		if depth == p.limits.Depth {
			return nil, p.fail("it is more than %d levels deep; send a flatter value", p.limits.Depth)
		}
		if c == '{' {
			return p.object(depth + 1)
		}
		return p.array(depth + 1)
	case c == '"':
		return p.string()
	case c == '-' || '0' <= c && c <= '9':
		return p.number()
	case c == 't':
		return true, p.word("true")
	case c == 'f':
		return false, p.word("false")
	case c == 'n':
		return nil, p.word("null")
	}
	return nil, p.noValue()
}

// noValue says what stands where a value should, with the remedy for what
// other languages would have accepted.
func (p *parser) noValue() *Error {
	rest := p.data[p.at:]
	switch c := p.peek(); {
	case len(rest) == 0:
		return p.fail("the text ends where a value should stand; send it whole")
	case c == '\'':
		return p.fail("a string stands in single quotes; write it in double quotes")
	case c == '/' || c == '#':
		return p.fail("a comment is not JSON; leave it out")
	case c == 'N' || c == 'I':
		return p.fail("NaN and Infinity are not JSON; send a number or null")
	case c == '+' || c == '.':
		return p.fail("a number starts with a digit or a minus sign; write 1 and 0.5")
	}
	if c := p.peek() | 0x20; 'a' <= c && c <= 'z' || c >= utf8.RuneSelf {
		return p.fail("%s stands where a value should; text needs double quotes", p.here())
	}
	return p.fail("%s stands where a value should; send a value or null", p.here())
}

func (p *parser) word(word string) error {
	if !bytes.HasPrefix(p.data[p.at:], []byte(word)) {
		return p.fail("an unknown word; only true, false and null stand without quotes")
	}
	p.at += len(word)
	return nil
}

// count takes one more member or item.
func (p *parser) count() error {
	p.items++
	if p.items > p.limits.Items {
		return p.fail("it has more than %d members and items; send fewer", p.limits.Items)
	}
	return nil
}

// next reads what stands between two elements, or ends the list at end.
func (p *parser) next(end byte, what string) (more bool, err error) {
	p.space()
	switch p.peek() {
	case end:
		p.at++
		return false, nil
	case ',':
		comma := p.at
		p.at++
		p.space()
		if p.peek() == end {
			p.at = comma
			return false, p.fail("a comma stands after the last %s; leave it out", what)
		}
		return true, nil
	}
	if p.at == len(p.data) {
		return false, p.fail("the text ends where ',' or '%c' should stand; send it whole", end)
	}
	return false, p.fail("%s stands where ',' or '%c' should; a comma parts one %s from the next", p.here(), end, what)
}

func (p *parser) array(depth int) (any, error) {
	p.at++ // [
	list := []any{}
	p.space()
	if p.peek() == ']' {
		p.at++
		return list, nil
	}
	for more := true; more; {
		if err := p.count(); err != nil {
			return nil, err
		}
		item, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
		if more, err = p.next(']', "item"); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (p *parser) object(depth int) (any, error) {
	p.at++ // {
	members := map[string]any{}
	var folded map[string]string // folded name -> name, of the names that folding changes
	p.space()
	if p.peek() == '}' {
		p.at++
		return members, nil
	}
	for more := true; more; {
		if err := p.count(); err != nil {
			return nil, err
		}
		name, key, err := p.name(members, folded)
		if err != nil {
			return nil, err
		}
		if members[name], err = p.value(depth); err != nil {
			return nil, err
		}
		if key != name {
			if folded == nil {
				folded = map[string]string{}
			}
			folded[key] = name
		}
		if more, err = p.next('}', "member"); err != nil {
			return nil, err
		}
	}
	return members, nil
}

// name reads a member's name and its colon. It gives the folded name too, and
// refuses a name that equals an earlier one, in whatever case: readers differ
// in which of the two they keep.
func (p *parser) name(members map[string]any, folded map[string]string) (name, key string, err error) {
	start := p.at
	if p.at == len(p.data) {
		return "", "", p.fail("the text ends where a name should stand; send it whole")
	}
	if p.peek() != '"' {
		return "", "", p.fail("%s stands where a name should; names stand in double quotes", p.here())
	}
	if name, err = p.string(); err != nil {
		return "", "", err
	}
	key = fold(name)
	other, seen := folded[key]
	if !seen {
		_, seen = members[key]
		other = key
	}
	if seen {
		p.at = start
		if other == name {
			return "", "", p.fail("the name %s stands twice in one object; send it once", quote(name))
		}
		return "", "", p.fail("the names %s and %s differ only in case; send one of them", quote(other), quote(name))
	}
	p.space()
	if p.peek() != ':' {
		return "", "", p.fail("%s stands where ':' should, after the name %s; send \"name\": value", p.here(), quote(name))
	}
	p.at++
	p.space()
	return name, key, nil
}

// number reads RFC 8259's number: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
func (p *parser) number() (any, error) {
	start := p.at
	if p.peek() == '-' {
		p.at++
	}
	leadingZero := p.peek() == '0'
	if whole := p.digits(); whole == 0 {
		return nil, p.fail("%s stands where a digit should, in a number", p.here())
	} else if leadingZero && whole > 1 {
		p.at = start
		return nil, p.fail("a number starts with a needless 0; leave the 0 out, or send a string")
	}
	if p.peek() == '.' {
		p.at++
		if p.digits() == 0 {
			return nil, p.fail("%s stands where a digit should, after the decimal point", p.here())
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.at++
		if c := p.peek(); c == '+' || c == '-' {
			p.at++
		}
		if p.digits() == 0 {
			return nil, p.fail("%s stands where a digit should, in an exponent", p.here())
		}
	}
	return deputy.Number(p.data[start:p.at]), nil
}

// digits skips decimal digits and counts them.
func (p *parser) digits() int {
	start := p.at
	for c := p.peek(); '0' <= c && c <= '9'; c = p.peek() {
		p.at++
	}
	return p.at - start
}

// fold gives the same text for all names that differ only in case, by
// Unicode's simple folding, as encoding/json and others match names.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		if r >= utf8.RuneSelf { // U+017F and U+212A fold to S and K
			for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
				least = min(least, f)
			}
		}
		if 'A' <= least && least <= 'Z' {
			least += 'a' - 'A'
		}
		return least
	}, name)
}

// quote shows a name in a message: in ASCII, and not at any length.
func quote(name string) string {
	const most = 64 // characters
	if runes := []rune(name); len(runes) > most {
		return fmt.Sprintf("%+q…", string(runes[:most]))
	}
	return fmt.Sprintf("%+q", name)
}
