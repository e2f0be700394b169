package strictjson

import (
	"unicode/utf16"
	"unicode/utf8"
)

// string reads a string and its quotes. Most hold no escape and are copied whole.
func (p *parser) string() (string, error) {
	quote := p.at
	p.at++
	start := p.at
	if err := p.plain(); err != nil {
		return "", p.unended(err, quote)
	}
	if p.data[p.at] == '"' {
		text := string(p.data[start:p.at])
		p.at++
		return text, nil
	}
	text := append([]byte(nil), p.data[start:p.at]...)
	for p.data[p.at] != '"' {
		r, err := p.escape()
		if err != nil {
			return "", err
		}
		text = utf8.AppendRune(text, r)
		start = p.at
		if err := p.plain(); err != nil {
			return "", p.unended(err, quote)
		}
		text = append(text, p.data[start:p.at]...)
	}
	p.at++
	return string(text), nil
}

// unended says of a string without an end where it begins.
func (p *parser) unended(err *Error, quote int) *Error {
	if err.Offset == len(p.data) {
		return newError(p.data, quote, "a string has no end; send the text whole")
	}
	return err
}

// plain skips to the next quote or backslash, and refuses what may not stand
// in a string as it is.
func (p *parser) plain() *Error {
	for p.at < len(p.data) {
		switch c := p.data[p.at]; {
		case c == '"' || c == '\\':
			return nil
		case c == 0:
			return p.fail("a NUL stands in a string; leave it out")
		case c < ' ':
			return p.fail("the control character 0x%02x stands in a string; write it as \\u%04x", c, c)
		case c < utf8.RuneSelf:
			p.at++
		default:
			r, size := utf8.DecodeRune(p.data[p.at:])
			if r == utf8.RuneError && size == 1 {
				return p.fail("the byte 0x%02x is not UTF-8; send text in UTF-8", c)
			}
			p.at += size
		}
	}
	return p.fail("a string has no end")
}

// escape reads one escape, or the two of a surrogate pair.
func (p *parser) escape() (rune, error) {
	start := p.at
	p.at++ // \
	c := p.peek()
	p.at++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return p.unicode(start)
	}
	p.at = start
	return 0, p.fail(`an unknown escape stands in a string; write a backslash as \\`)
}

// unicode reads what follows \u. start is where the escape begins.
func (p *parser) unicode(start int) (rune, error) {
	r, ok := p.hex4()
	if !ok {
		p.at = start
		return 0, p.fail(`four hexadecimal digits must follow \u`)
	}
	if r == 0 {
		p.at = start
		return 0, p.fail(`a NUL (\u0000) stands in a string; leave it out`)
	}
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	if p.peek() == '\\' && p.at+1 < len(p.data) && p.data[p.at+1] == 'u' {
		p.at += 2
		if low, ok := p.hex4(); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, nil
			}
		}
	}
	p.at = start
	return 0, p.fail(`\u%04x is half of a surrogate pair; send both halves, or the character itself`, r)
}

func (p *parser) hex4() (rune, bool) {
	if p.at+4 > len(p.data) {
		return 0, false
	}
	var r rune
	for _, c := range p.data[p.at : p.at+4] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	p.at += 4
	return r, true
}
