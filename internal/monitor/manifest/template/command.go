package template

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Command is a program and its arguments.
type Command struct {
	elements []element // the first is the program, a literal
}

// element is one argument, a list expansion "{names...}", or a group of
// elements that is left out whole when a param in it has no value.
type element struct {
	text   *Text
	spread string
	group  []element
}

// Use is one place where a command names a param.
type Use struct {
	Name    string
	Spread  bool // "{name...}": the param must be a list; anywhere else it must not be one
	Grouped bool // inside a group, so the param may be optional, as it may be in any spread
}

// ParseCommand reads `command`: a list of strings and of groups, which are
// lists of strings. elements is a []any of string and []any, or a []string.
func ParseCommand(elements any) (*Command, error) {
	parsed, err := parseElements(elements, false)
	if err != nil {
		return nil, err
	}
	if len(parsed) == 0 {
		return nil, errors.New("a command needs at least its program")
	}
	c := &Command{parsed}
	program, ok := parsed[0].literal()
	if !ok {
		return nil, errors.New("a command's first element is its program, which cannot be a param or a group")
	}
	if !filepath.IsAbs(program) {
		return nil, fmt.Errorf("the program %q must be an absolute path", program)
	}
	return c, nil
}

func parseElements(list any, inGroup bool) ([]element, error) {
	var parsed []element
	switch list := list.(type) {
	case []string:
		for _, s := range list {
			e, err := parseElement(s)
			if err != nil {
				return nil, err
			}
			parsed = append(parsed, e)
		}
	case []any:
		for _, item := range list {
			e, err := element{}, error(nil)
			if s, ok := item.(string); ok {
				e, err = parseElement(s)
			} else if inGroup {
				err = fmt.Errorf("a group holds strings alone, not %v", item)
			} else {
				e, err = parseGroup(item)
			}
			if err != nil {
				return nil, err
			}
			parsed = append(parsed, e)
		}
	default:
		return nil, fmt.Errorf("a command is a list of strings and of groups (lists of strings), not %v", list)
	}
	return parsed, nil
}

func parseElement(s string) (element, error) {
	e := element{}
	if name, ok := strings.CutSuffix(s, "...}"); ok && strings.HasPrefix(name, "{") && paramName.MatchString(name[1:]) {
		e.spread = name[1:]
	} else {
		var err error
		if e.text, err = ParseText(s); err != nil {
			return element{}, err
		}
	}
	if e.spread == AllParams || e.text != nil && slices.Contains(e.text.Names(), AllParams) {
		return element{}, fmt.Errorf("{%s} can stand in stdin alone", AllParams)
	}
	return e, nil
}

// parseGroup refuses a group that names no param: it could never be left out.
func parseGroup(list any) (element, error) {
	group, err := parseElements(list, true)
	if err != nil {
		return element{}, err
	}
	for _, e := range group {
		if _, literal := e.literal(); !literal {
			return element{group: group}, nil
		}
	}
	return element{}, fmt.Errorf("the group %v names no param, so it would always stand; write its elements without the inner brackets", list)
}

// literal gives an argument in which no param stands.
func (e element) literal() (string, bool) {
	if e.text == nil || len(e.text.Names()) > 0 {
		return "", false
	}
	s, err := e.text.Expand(nil)
	return s, err == nil
}

// walk calls visit for every argument and spread, in order.
func (c *Command) walk(visit func(e element, grouped bool)) {
	for _, e := range c.elements {
		if e.group == nil {
			visit(e, false)
		}
		for _, inner := range e.group {
			visit(inner, true)
		}
	}
}

// Names lists every use of a param, in order.
func (c *Command) Names() []Use {
	var uses []Use
	c.walk(func(e element, grouped bool) {
		if e.spread != "" {
			uses = append(uses, Use{e.spread, true, grouped})
			return
		}
		for _, name := range e.text.Names() {
			uses = append(uses, Use{name, false, grouped})
		}
	})
	return uses
}

// Literals lists the arguments in which no param stands, the program first.
func (c *Command) Literals() []string {
	var literals []string
	c.walk(func(e element, _ bool) {
		if s, ok := e.literal(); ok {
			literals = append(literals, s)
		}
	})
	return literals
}

// Program is the absolute path of the program.
func (c *Command) Program() string {
	program, _ := c.elements[0].literal()
	return program
}

// Argv makes the arguments, the program first. A value that would start an
// argument with '-' is refused unless dash says that its param may: otherwise
// a value could become an option. The error is a *ValueError.
func (c *Command) Argv(v Values, dash func(name string) bool) ([]string, error) {
	argv := make([]string, 0, len(c.elements))
	for _, e := range c.elements {
		run := []element{e}
		if e.group != nil {
			if !complete(e.group, v) {
				continue
			}
			run = e.group
		}
		for _, e := range run {
			args, err := e.arguments(v, dash)
			if err != nil {
				return nil, err
			}
			argv = append(argv, args...)
		}
	}
	return argv, nil
}

// complete says whether every param of a group has a value. An empty list has
// none: what stands before it ("-p") would take the next argument for its own.
func complete(group []element, v Values) bool {
	for _, e := range group {
		if e.spread != "" {
			if list, _ := v[e.spread].([]any); len(list) == 0 {
				return false
			}
			continue
		}
		for _, name := range e.text.Names() {
			if _, ok := v[name]; !ok {
				return false
			}
		}
	}
	return true
}

// arguments makes one argument, or one for each item of a spread.
func (e element) arguments(v Values, dash func(string) bool) ([]string, error) {
	if e.spread == "" {
		arg, err := e.text.argument(v, dash)
		return []string{arg}, err
	}
	value, ok := v[e.spread]
	list, isList := value.([]any)
	if ok && !isList {
		return nil, &ValueError{e.spread, "must be a list here"}
	}
	args := make([]string, len(list))
	for i, item := range list {
		one := &Text{parts: []part{{name: e.spread}}}
		arg, err := one.argument(Values{e.spread: item}, dash)
		if err != nil {
			return nil, err
		}
		args[i] = arg
	}
	return args, nil
}

func (t *Text) argument(v Values, dash func(string) bool) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		switch v[p.name].(type) {
		case []any, map[string]any:
			return "", &ValueError{p.name, "is a list or an object, which cannot stand inside an argument"}
		}
		s, err := p.expand(v)
		if err != nil {
			return "", err
		}
		// Before the first byte, whichever value brings it starts the argument.
		if p.name != "" && b.Len() == 0 && strings.HasPrefix(s, "-") && !dash(p.name) {
			return "", &ValueError{p.name, fmt.Sprintf(`cannot begin with "-" (%s): it would be read as an option`, clip(s))}
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// clip quotes the beginning of s.
func clip(s string) string {
	if r := []rune(s); len(r) > 40 {
		s = string(r[:40]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
