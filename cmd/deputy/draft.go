package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// draft is an action to be declared.
type draft struct {
	module, action string
	command        []string
	params         []draftParam // in the order of their first use
	allow, types   []string     // as given
	user           string
	description    string
}

// draftParam is a param with what bounds it: "one|two" or "^pattern$"; empty: nothing.
type draftParam struct{ name, kind, bound string }

// unbounded says whether p may be any text.
func (p draftParam) unbounded() bool {
	return p.bound == "" && (p.kind == "string" || p.kind == "array")
}

// pattern says whether what bounds p is one, and not a list of values.
func (p draftParam) pattern() bool {
	return strings.HasPrefix(p.bound, "^") && strings.HasSuffix(p.bound, "$")
}

func (p draftParam) values() []string { return strings.Split(p.bound, "|") }

var (
	goodName    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,30}$`)
	paramOption = regexp.MustCompile(`^([a-z][a-z0-9_]{0,62})(?::([a-z]+))?(?:=(.+))?$`)
	placeholder = regexp.MustCompile(`\{\{|\}\}|\{([a-z][a-z0-9_]{0,62})(\.\.\.)?\}`)
)

// name takes the words of the command line apart.
func (d *draft) name(what string, command []string) error {
	var ok bool
	d.module, d.action, ok = strings.Cut(what, "/")
	if !ok || !goodName.MatchString(d.module) || !goodName.MatchString(d.action) {
		return usage("%q is not MODULE/ACTION: each begins with a letter and holds letters, digits, _ and - (at most 31)", what)
	}
	if !strings.HasPrefix(command[0], "/") {
		return usage("the command must begin with a whole path, like /usr/bin/%s", command[0])
	}
	d.command = command
	said := map[string]draftParam{}
	for _, t := range d.types {
		m := paramOption.FindStringSubmatch(t)
		if m == nil || m[2] == "" && m[3] == "" || m[2] != "" && !slices.Contains([]string{"string", "integer", "number", "boolean", "array"}, m[2]) {
			return usage("--param %q is neither NAME=one|two, nor NAME=^PATTERN$, nor NAME:TYPE with string, integer, number, boolean or array", t)
		}
		if m[2] == "boolean" && m[3] != "" {
			return usage("--param %q: a boolean is true or false", t)
		}
		said[m[1]] = draftParam{m[1], m[2], m[3]}
	}
	for _, arg := range command {
		for _, m := range placeholder.FindAllStringSubmatch(arg, -1) {
			d.uses(m[1], m[2] != "", said)
		}
	}
	for name := range said {
		if !slices.ContainsFunc(d.params, func(p draftParam) bool { return p.name == name }) {
			return usage("--param %s: the command has no {%s}", name, name)
		}
	}
	return nil
}

func (d *draft) uses(name string, list bool, said map[string]draftParam) {
	known := slices.ContainsFunc(d.params, func(p draftParam) bool { return p.name == name })
	if name == "" || known {
		return
	}
	p := said[name]
	p.name = name
	switch {
	case list:
		p.kind = "array"
	case p.kind == "":
		p.kind = "string"
	}
	d.params = append(d.params, p)
}

// manifest writes the action, and in a fresh file the module around it. The
// rule stands on the action: what is added later is not granted with it.
func (d *draft) manifest(fresh bool) (string, error) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	if fresh {
		line("# The module %s: what may be asked for by name, and by whom.", d.module)
		line("# After a change: deputy check && deputy reload")
		line("name = %s", quote(d.module))
	}
	line("\n[action.%s]", d.action)
	if d.description != "" {
		line("description = %s", quote(d.description))
	} else {
		line(`# description = "what it does, in one sentence"`)
	}
	words := make([]string, len(d.command))
	for i, c := range d.command {
		words[i] = quote(c)
	}
	line("command = [%s]", strings.Join(words, ", "))
	if d.user != "" {
		line("user = %-16s  # whom it runs as; better one who may do only this", quote(d.user))
	} else {
		line(`# user = "…"  # whom it runs as; otherwise the user of the daemon`)
	}
	line(`# timeout = "10m"  # then it is stopped with all that it started`)
	for _, p := range d.params {
		d.param(line, p)
	}
	if err := d.rules(line); err != nil {
		return "", err
	}
	return b.String(), nil
}

// param declares a param, and shows how its values are narrowed.
func (d *draft) param(line func(string, ...any), p draftParam) {
	bound, narrow := p.declared(), ""
	declared := `type = "` + p.kind + `"` + bound
	switch {
	case p.kind == "array":
		declared = `type = "array", items = { type = "string"` + bound + ` }, minItems = 1`
		narrow = `maxItems = 10, and in items enum or pattern`
	case bound != "":
	case p.kind == "string":
		narrow = `enum = ["one", "two"], or pattern = "^[a-z0-9.@-]+$"`
	case p.kind == "integer", p.kind == "number":
		narrow = `minimum = 1, maximum = 100`
	}
	if narrow != "" && bound == "" {
		line("# Narrow it: %s", narrow)
	}
	line("params.%s = { %s }", p.name, declared)
}

// declared is how a manifest says what bounds p.
func (p draftParam) declared() string {
	switch {
	case p.bound == "":
		return ""
	case p.pattern():
		return ", pattern = " + quote(p.bound)
	}
	values := p.values()
	if p.kind == "string" || p.kind == "array" {
		for i := range values {
			values[i] = quote(values[i])
		}
	}
	return ", enum = [" + strings.Join(values, ", ") + "]"
}

// rules grants the action. Without --allow nobody may have it yet.
func (d *draft) rules(line func(string, ...any)) error {
	var users, groups, keys []string
	for _, who := range d.allow {
		kind, name, _ := strings.Cut(who, ":")
		switch {
		case name == "" && kind != "" && !strings.Contains(who, ":"), kind == "uid" && name != "":
			users = append(users, quote(who))
		case kind == "group" && name != "":
			groups = append(groups, quote(name))
		case kind == "key" && name != "":
			keys = append(keys, quote(name))
		default:
			return usage("--allow %q is not a user, uid:N, group:NAME or key:NAME", who)
		}
	}
	mark := ""
	if len(d.allow) == 0 {
		line("\n# Nobody may have it yet. Name who may:")
		mark, users = "# ", []string{`"panel"`}
	} else {
		line("")
	}
	line("%s[[action.%s.allow]]", mark, d.action)
	for _, l := range []struct {
		key   string
		names []string
	}{{"users", users}, {"groups", groups}, {"keys", keys}} {
		if len(l.names) > 0 {
			line("%s%s = [%s]", mark, l.key, strings.Join(l.names, ", "))
		}
	}
	return nil
}

// quote writes a TOML string: literal where that is possible, for the reader.
func quote(text string) string {
	if !strings.ContainsAny(text, `"\`) && strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0 {
		return `"` + text + `"`
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
