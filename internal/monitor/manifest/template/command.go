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
	shown    []Element
}

// element is one argument, or a list expansion "{names...}". Elements of one
// group are left out together when a param in one of them has no value.
type element struct {
	at     Place
	text   *Text
	spread string // when not empty, text is nil
	group  int    // counts from 1; 0: in no group
}

// Place is where something stands in a command as it was written.
type Place struct {
	Item   int // among its strings and groups
	Within int // among the strings of that group; 0 in none
}

// Element is what a manifest says of one argument.
type Element struct {
	At     Place
	Lead   string   // its text up to the first param; all of it where Names is empty
	Names  []string // the params that stand in it
	Spread bool     // it is "{name...}"
	Group  int      // which group it stands in; 0: in none
}

// ElementError is an element that makes a command unreadable.
type ElementError struct {
	Item int // which string or group of the command it is, or stands in
	Err  error
}

func (e *ElementError) Error() string { return e.Err.Error() }
func (e *ElementError) Unwrap() error { return e.Err }

// Use is one place where a command names a param.
type Use struct {
	Name    string
	Spread  bool // "{name...}": the param must be a list; anywhere else it must not be one
	Grouped bool // inside a group, so the param may be optional, as it may be in any spread
}

// ParseCommand reads `command`: a list of strings and of groups, which are
// lists of strings. elements is a []any of string and []any, or a []string. The
// error is an *ElementError where one of them is at fault.
func ParseCommand(elements any) (*Command, error) {
	list, ok := asList(elements)
	if !ok {
		return nil, fmt.Errorf("a command is a list of strings and of groups (lists of strings), not %v", elements)
	}
	if len(list) == 0 {
		return nil, errors.New("a command needs at least its program")
	}
	c := &Command{}
	for i, item := range list {
		if err := c.parse(i, item); err != nil {
			return nil, &ElementError{i, err}
		}
	}
	for _, e := range c.elements {
		shown := Element{At: e.at, Names: e.names(), Spread: e.spread != "", Group: e.group}
		if e.text != nil {
			shown.Lead = e.text.lead()
		}
		c.shown = append(c.shown, shown)
	}
	return c, nil
}

// parse reads what stands at an index of the command, and adds it.
func (c *Command) parse(i int, item any) error {
	group, isGroup := asList(item)
	if !isGroup {
		group = []any{item}
	}
	number, before := 0, len(c.Names())
	if isGroup {
		number = i + 1
	}
	if err := c.add(i, number, group...); err != nil {
		return err
	}
	if isGroup && len(c.Names()) == before {
		return fmt.Errorf("the group %v names no param, so it would always stand; write its elements without the inner brackets", item)
	}
	if i > 0 {
		return nil
	}
	program, ok := c.elements[0].literal()
	switch {
	case !ok || isGroup:
		return errors.New("a command's first element is its program, which cannot be a param or a group")
	case !filepath.IsAbs(program):
		return fmt.Errorf("the program %q must be an absolute path", program)
	}
	return nil
}

func asList(v any) ([]any, bool) {
	if texts, ok := v.([]string); ok {
		list := make([]any, len(texts))
		for i, s := range texts {
			list[i] = s
		}
		return list, true
	}
	list, ok := v.([]any)
	return list, ok
}

func (c *Command) add(i, group int, items ...any) error {
	for within, item := range items {
		s, ok := item.(string)
		switch {
		case !ok && group == 0:
			return fmt.Errorf("a command is a list of strings and of groups (lists of strings), not %v", item)
		case !ok:
			return fmt.Errorf("a group holds strings alone, not %v", item)
		}
		e, err := parseElement(s)
		if err != nil {
			return err
		}
		e.at, e.group = Place{i, within}, group
		c.elements = append(c.elements, e)
	}
	return nil
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
	if slices.Contains(e.names(), AllParams) {
		return element{}, fmt.Errorf("{%s} can stand in stdin alone", AllParams)
	}
	return e, nil
}

// literal gives an argument in which no param stands.
func (e element) literal() (string, bool) {
	if len(e.names()) > 0 {
		return "", false
	}
	s, err := e.text.Expand(nil)
	return s, err == nil
}

// Names lists every use of a param, in order.
func (c *Command) Names() []Use {
	var uses []Use
	for _, e := range c.elements {
		for _, name := range e.names() {
			uses = append(uses, Use{name, e.spread != "", e.group != 0})
		}
	}
	return uses
}

func (e element) names() []string {
	if e.spread != "" {
		return []string{e.spread}
	}
	return e.text.Names()
}

// Elements lists all elements in order, those of groups among them. It is not to
// be changed.
func (c *Command) Elements() []Element { return c.shown }

// Given says which params stand in the arguments that Argv makes of v: those of
// a group that is left out do not.
func (c *Command) Given(v Values) map[string]bool {
	given := map[string]bool{}
	for _, e := range c.elements {
		if e.group == 0 || c.complete(e.group, v) {
			for _, name := range e.names() {
				given[name] = true
			}
		}
	}
	return given
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
		if e.group != 0 && !c.complete(e.group, v) {
			continue
		}
		args, err := e.arguments(v, dash)
		if err != nil {
			return nil, err
		}
		argv = append(argv, args...)
	}
	return argv, nil
}

// complete says whether every param of a group has a value. An empty list has
// none: what stands before it ("-p") would take the next argument for its own.
func (c *Command) complete(group int, v Values) bool {
	for _, e := range c.elements {
		if e.group != group {
			continue
		}
		for _, name := range e.names() {
			value, ok := v[name]
			if list, isList := value.([]any); !ok || isList && len(list) == 0 {
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
