package manifest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"deputy/internal/monitor/manifest/schema"
)

// Problem is one thing that is wrong in the files.
type Problem struct {
	Pos     Pos    // Line is 0 where the whole file is meant
	Line    string // the source line; empty where the whole file is meant
	Message string
	Remedy  string
}

// Problems is everything that is wrong in all files, in their order.
type Problems []Problem

func (p *Problems) Error() string {
	texts := make([]string, len(*p))
	for i, one := range *p {
		texts[i] = one.String()
	}
	return strings.Join(texts, "\n")
}

// String shows the line with a caret under the place:
//
//	/etc/deputy/modules.d/scan.toml:12:1: unknown key "comand" in [action.start]
//	    comand = ["/usr/bin/python3"]
//	    ^ did you mean "command"?
func (p Problem) String() string {
	head := p.Pos.String() + ": " + p.Message + "\n    "
	if p.Pos.Line == 0 {
		return head + p.Remedy
	}
	// The caret stands under the same character, whatever its width in bytes.
	blank := func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}
	before := p.Line[:min(p.Pos.Col-1, len(p.Line))]
	return strings.TrimRight(head+p.Line+"\n    "+strings.Map(blank, before)+"^ "+p.Remedy, " ")
}

// advice is an error that knows what to do about it.
type advice struct{ reason, remedy string }

func (a *advice) Error() string { return a.reason + "; remedy: " + a.remedy }

func advise(remedy, format string, args ...any) error {
	return &advice{fmt.Sprintf(format, args...), remedy}
}

// source is one file's text.
type source struct {
	path string
	text []byte
}

// problem says what is wrong at a byte offset of the source.
func (s *source) problem(offset int, message, remedy string) Problem {
	before := s.text[:offset]
	if offset == len(s.text) { // the last line is where something is missing
		before = bytes.TrimRight(before, "\n")
	}
	start := bytes.LastIndexByte(before, '\n') + 1
	line, _, _ := bytes.Cut(s.text[start:], []byte("\n"))
	// A control character must not reach the terminal of whoever reads this.
	printable := func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' {
			return ' '
		}
		return r
	}
	return Problem{
		Pos:     Pos{s.path, bytes.Count(before, []byte("\n")) + 1, len(before) - start + 1},
		Line:    strings.TrimRight(strings.Map(printable, string(line)), " "),
		Message: message, Remedy: remedy,
	}
}

// fail records a problem with n's value, failKey one with its key.
func (l *loader) fail(n *node, remedy, format string, args ...any) {
	l.problems = append(l.problems, n.src.problem(n.at, fmt.Sprintf(format, args...), remedy))
}

func (l *loader) failKey(n *node, remedy, format string, args ...any) {
	l.problems = append(l.problems, n.src.problem(n.keyAt, fmt.Sprintf(format, args...), remedy))
}

// warn records what is no mistake, and should be known all the same.
func (l *loader) warn(n *node, format string, args ...any) {
	l.warnings = append(l.warnings, n.pos().String()+": "+fmt.Sprintf(format, args...))
}

// failFile records a problem with a file as a whole.
func (l *loader) failFile(path string, err error) {
	message, remedy := split(err)
	l.problems = append(l.problems, Problem{Pos: Pos{File: path}, Message: message, Remedy: remedy})
}

// split parts an error into what is wrong and what to do; others say both in
// one sentence, with "; " between.
func split(err error) (message, remedy string) {
	if a, ok := errors.AsType[*advice](err); ok {
		return a.reason, a.remedy
	}
	message, remedy, _ = strings.Cut(err.Error(), "; ")
	return message, remedy
}

// verdict is all problems found, sorted, each once; nil if there are none.
func (l *loader) verdict() error {
	if len(l.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(l.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Col, b.Pos.Col), cmp.Compare(a.Message, b.Message))
	})
	all := Problems(slices.Compact(l.problems))
	return &all
}

// meant is a remedy: the known word that is nearest to what was written, if
// any is near, and all of them.
func meant(word, kind string, known []string) string {
	slices.Sort(known)
	all := kind + ": " + cmp.Or(strings.Join(known, ", "), "none")
	best := schema.Nearest(word, known)
	if best == "" {
		return all
	}
	return fmt.Sprintf("did you mean %q? %s", best, all)
}
