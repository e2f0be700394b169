package schema

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

// maxECMA is the longest translation that is told, in bytes: one class of Unicode
// may stand for hundreds of ranges.
const maxECMA = 4096

// alike matches expressions that mean the same in RE2 and in ECMA 262 with the flag
// u, as JSON Schema has it: they are told as they are written.
var alike = regexp.MustCompile(`^(?:` +
	`(?:[A-Za-z0-9_ @:,=%!~"'<>&;#/-]` + // a character
	`|\\[.\\/^$*+?()|{}\[\]dwDWbB]` + // an escaped one, or a class of ASCII
	`|\[\^?-?(?:[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9_ @:,=%!~"'<>;.#*+?()|$/{}]|\\[.\\\]^dwDW-])+-?\]` + // a class
	`|\))(?:(?:[*+?]|\{[0-9]{1,4}(?:,[0-9]{0,4})?\})\??)?` + // each perhaps repeated
	`|[\^$|]|\((?:\?:)?` + // edges, and where groups begin
	`)*$`)

// ecma writes a pattern as ECMA 262 has it, "" if it cannot be told there.
func ecma(pattern *regexp.Regexp) string {
	text := pattern.String()
	if alike.MatchString(text) {
		return text
	}
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return ""
	}
	w := &ecmaWriter{}
	w.write(re)
	if w.b.Len() > maxECMA {
		return ""
	}
	return w.b.String()
}

// ecmaWriter writes what RE2 has parsed, so that no spelling of either dialect matters.
type ecmaWriter struct{ b strings.Builder }

func (w *ecmaWriter) write(re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpNoMatch:
		w.b.WriteString(`[^\s\S]`)
	case syntax.OpEmptyMatch:
		w.b.WriteString(`(?:)`)
	case syntax.OpLiteral:
		for _, c := range re.Rune {
			w.literal(c, re.Flags&syntax.FoldCase != 0)
		}
	case syntax.OpCharClass:
		w.class(re.Rune)
	case syntax.OpAnyCharNotNL:
		w.b.WriteString(`[^\n]`) // the dot of ECMA 262 leaves out more
	case syntax.OpAnyChar:
		w.b.WriteString(`[\s\S]`)
	case syntax.OpBeginText:
		w.b.WriteString(`^`)
	case syntax.OpEndText:
		w.b.WriteString(`$`)
	case syntax.OpBeginLine:
		w.b.WriteString(`(?<![^\n])`)
	case syntax.OpEndLine:
		w.b.WriteString(`(?![^\n])`)
	case syntax.OpWordBoundary:
		w.b.WriteString(`\b`)
	case syntax.OpNoWordBoundary:
		w.b.WriteString(`\B`)
	case syntax.OpCapture:
		w.group(re.Sub[0])
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		w.repeat(re)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if sub.Op == syntax.OpAlternate {
				w.group(sub)
			} else {
				w.write(sub)
			}
		}
	case syntax.OpAlternate:
		for i, sub := range re.Sub {
			if i > 0 {
				w.b.WriteByte('|')
			}
			w.write(sub)
		}
	}
}

func (w *ecmaWriter) group(re *syntax.Regexp) {
	w.b.WriteString("(?:")
	w.write(re)
	w.b.WriteByte(')')
}

func (w *ecmaWriter) repeat(re *syntax.Regexp) {
	sub := re.Sub[0]
	if one := sub.Op == syntax.OpLiteral && len(sub.Rune) == 1; one || sub.Op == syntax.OpCharClass || sub.Op == syntax.OpAnyChar || sub.Op == syntax.OpAnyCharNotNL {
		w.write(sub)
	} else {
		w.group(sub)
	}
	switch re.Op {
	case syntax.OpStar:
		w.b.WriteByte('*')
	case syntax.OpPlus:
		w.b.WriteByte('+')
	case syntax.OpQuest:
		w.b.WriteByte('?')
	default:
		switch {
		case re.Max == re.Min:
			fmt.Fprintf(&w.b, "{%d}", re.Min)
		case re.Max < 0:
			fmt.Fprintf(&w.b, "{%d,}", re.Min)
		default:
			fmt.Fprintf(&w.b, "{%d,%d}", re.Min, re.Max)
		}
	}
	if re.Flags&syntax.NonGreedy != 0 {
		w.b.WriteByte('?')
	}
}

// literal writes one character; folded, any that is the same in another case.
func (w *ecmaWriter) literal(c rune, folded bool) {
	if !folded || unicode.SimpleFold(c) == c {
		w.rune(c)
		return
	}
	all := []rune{c}
	for f := unicode.SimpleFold(c); f != c; f = unicode.SimpleFold(f) {
		all = append(all, f)
	}
	slices.Sort(all)
	w.b.WriteByte('[')
	for _, f := range all {
		w.rune(f)
	}
	w.b.WriteByte(']')
}

// class writes ranges, or what they leave out, if they go up to the last character.
func (w *ecmaWriter) class(ranges []rune) {
	if len(ranges) == 2 && ranges[0] == 0 && ranges[1] == unicode.MaxRune {
		w.b.WriteString(`[\s\S]`)
		return
	}
	w.b.WriteByte('[')
	if n := len(ranges); n > 0 && ranges[0] == 0 && ranges[n-1] == unicode.MaxRune {
		ranges = ranges[1 : n-1] // the ends of one and the beginnings of the next: the gaps are between them
		w.b.WriteByte('^')
		for i := 0; i < len(ranges); i += 2 {
			w.span(ranges[i]+1, ranges[i+1]-1)
		}
	} else {
		for i := 0; i < n; i += 2 {
			w.span(ranges[i], ranges[i+1])
		}
	}
	w.b.WriteByte(']')
}

func (w *ecmaWriter) span(from, to rune) {
	w.rune(from)
	if to > from+1 {
		w.b.WriteByte('-')
	}
	if to > from {
		w.rune(to)
	}
}

// rune writes a character, in a class or out of one.
func (w *ecmaWriter) rune(c rune) {
	switch {
	case strings.ContainsRune(`^$\.*+?()[]{}|/`, c):
		w.b.WriteByte('\\')
		w.b.WriteRune(c)
	case c == '-':
		w.b.WriteString(`\x2d`) // \- is good in a class alone
	case c < ' ' || c == 0x7f:
		fmt.Fprintf(&w.b, `\x%02x`, c)
	case c < 0x10000 && (!unicode.IsPrint(c) || c >= 0xd800 && c < 0xe000):
		fmt.Fprintf(&w.b, `\u%04x`, c)
	default:
		w.b.WriteRune(c)
	}
}
