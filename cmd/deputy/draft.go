package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
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

type draftParam struct{ name, kind string }

var (
	goodName    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,30}$`)
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
	kinds := map[string]string{}
	for _, t := range d.types {
		name, kind, _ := strings.Cut(t, ":")
		if !slices.Contains([]string{"string", "integer", "number", "boolean", "array"}, kind) {
			return usage("--param %q is not NAME:TYPE, with string, integer, number, boolean or array", t)
		}
		kinds[name] = kind
	}
	for _, arg := range command {
		for _, m := range placeholder.FindAllStringSubmatch(arg, -1) {
			d.uses(m[1], m[2] != "", kinds)
		}
	}
	for name := range kinds {
		if !slices.ContainsFunc(d.params, func(p draftParam) bool { return p.name == name }) {
			return usage("--param %s: the command has no {%s}", name, name)
		}
	}
	return nil
}

func (d *draft) uses(name string, list bool, kinds map[string]string) {
	known := slices.ContainsFunc(d.params, func(p draftParam) bool { return p.name == name })
	if name == "" || known {
		return
	}
	kind := kinds[name]
	switch {
	case list:
		kind = "array"
	case kind == "":
		kind = "string"
	}
	d.params = append(d.params, draftParam{name, kind})
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
	declared, narrow := `type = "`+p.kind+`"`, ""
	switch p.kind {
	case "string":
		narrow = `enum = ["one", "two"], or pattern = "^[a-z0-9.@-]+$"`
	case "integer", "number":
		narrow = `minimum = 1, maximum = 100`
	case "array":
		declared += `, items = { type = "string" }, minItems = 1`
		narrow = `maxItems = 10, and in items enum or pattern`
	}
	if narrow != "" {
		line("# Narrow it: %s", narrow)
	}
	line("params.%s = { %s }", p.name, declared)
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

// calls shows how the action is asked for from a shell, PHP, Python and curl.
func (d *draft) calls(socket string) string {
	var shell, php, python, json []string
	for _, p := range d.params {
		v := sample(p.kind)
		shell = append(shell, " "+p.name+"="+strings.Trim(v, `["]`))
		php = append(php, "'"+p.name+"' => "+strings.ReplaceAll(v, `"`, "'"))
		python = append(python, strconv.Quote(p.name)+": "+pythonValue(v))
		json = append(json, strconv.Quote(p.name)+": "+v)
	}
	path := "/v1/actions/" + d.module + "/" + d.action
	return fmt.Sprintf(`
Ask for it:

  shell   deputy run %s %s%s

  PHP     $r = $deputy->run('%s', '%s', [%s]);

  Python  r = deputy.run("%s", "%s", {%s})

  curl    curl --unix-socket %s -H 'Content-Type: application/json' \
            -d '{%s}' 'http://deputy%s?wait=30&output=65536'
`, d.module, d.action, strings.Join(shell, ""),
		d.module, d.action, strings.Join(php, ", "),
		d.module, d.action, strings.Join(python, ", "),
		socket, strings.Join(json, ", "), path)
}

// sample gives a value of a type, in JSON.
func sample(kind string) string {
	switch kind {
	case "integer", "number":
		return "1"
	case "boolean":
		return "true"
	case "array":
		return `["VALUE"]`
	}
	return `"VALUE"`
}

func pythonValue(json string) string {
	if json == "true" {
		return "True"
	}
	return json
}
