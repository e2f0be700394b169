package template

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var values = Values{
	"name": "nginx.service", "empty": "", "dash": "-rf", "brace": "{name} {{ }} $(id) ; *",
	"n": int64(-7), "big": int64(9223372036854775807), "f": 1e21, "small": 1e-7, "half": 0.5, "yes": true,
	"ports": []any{int64(80), int64(443)}, "none": []any{}, "opts": []any{"a", "-b"}, "deep": []any{[]any{"a"}},
	"object": map[string]any{"b": int64(1), "a": "<&>"},
}

func TestExpand(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "",
		"plain":                "plain",
		"{name}":               "nginx.service",
		"--unit={name}!":       "--unit=nginx.service!",
		"{{name}}":             "{name}",
		"{{{name}}}":           "{nginx.service}",
		"a{{b}}c":              "a{b}c",
		"{brace}":              "{name} {{ }} $(id) ; *", // a value is never read again
		"{empty}{n} {yes}":     "-7 true",
		"{big} {f} {small}":    "9223372036854775807 1000000000000000000000 0.0000001",
		"{half}":               "0.5",
		"{ports}":              "[80,443]",
		"{object}":             `{"a":"<&>","b":1}`,
		"é{name}é":             "énginx.serviceé",
		"{name}{name}":         "nginx.servicenginx.service",
		"{{}}":                 "{}",
		`{{"unit":"{name}"}}`:  `{"unit":"nginx.service"}`,
		"line one\nline {n}\n": "line one\nline -7\n",
	} {
		text, err := ParseText(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if got, err := text.Expand(values); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
		if text.String() != in {
			t.Errorf("%q: String %q", in, text)
		}
	}
	text, err := ParseText("{params}")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := text.Expand(Values{"b": int64(1), "a": "x\"<"}); got != `{"a":"x\"<","b":1}` || err != nil {
		t.Errorf("{params}: %s, %v", got, err)
	}
	text, err = ParseText("x{gone}")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := text.Expand(values); err == nil || err.Error() != "gone has no value" {
		t.Errorf("a missing value: %v", err)
	}
}

func TestParseTextRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"{name":                             `"{" is never closed; write "{{" for a brace`,
		"{":                                 `"{" is never closed; write "{{" for a brace`,
		"name}":                             `a single "}" cannot stand here; write "}}" for a brace`,
		"{}":                                `{} does not name a param; write "{{" and "}}" for braces`,
		"{Name}":                            `{Name} does not name a param; write "{{" and "}}" for braces`,
		"{a b}":                             `{a b} does not name a param; write "{{" and "}}" for braces`,
		"{a{b}":                             `{a{b} does not name a param; write "{{" and "}}" for braces`,
		"{$(id)}":                           `{$(id)} does not name a param; write "{{" and "}}" for braces`,
		"{..}":                              `{..} does not name a param; write "{{" and "}}" for braces`,
		"-p{ports...}":                      `{ports...} makes several arguments, so it must be an element of command by itself`,
		"a\x00b":                            `a NUL character cannot stand here`,
		"{" + strings.Repeat("a", 64) + "}": `{` + strings.Repeat("a", 64) + `} does not name a param; write "{{" and "}}" for braces`,
	} {
		if _, err := ParseText(in); err == nil || err.Error() != want {
			t.Errorf("%q: %v\n\twant %s", in, err, want)
		}
	}
}

func command(t testing.TB, elements ...any) *Command {
	t.Helper()
	c, err := ParseCommand(elements)
	if err != nil {
		t.Fatalf("%v: %v", elements, err)
	}
	return c
}

func never(string) bool { return false }

func TestArgv(t *testing.T) {
	for _, c := range []struct {
		elements []any
		want     []string
	}{
		{[]any{"/bin/a"}, []string{"/bin/a"}},
		{[]any{"/bin/a{{b}}", "", "-v"}, []string{"/bin/a{b}", "", "-v"}},
		{[]any{"/bin/a", "{brace}", "{empty}"}, []string{"/bin/a", "{name} {{ }} $(id) ; *", ""}},
		{[]any{"/bin/a", "--x={dash}", "-{dash}"}, []string{"/bin/a", "--x=-rf", "--rf"}},
		{[]any{"/bin/a", "{ports...}", "end"}, []string{"/bin/a", "80", "443", "end"}},
		{[]any{"/bin/a", "{none...}", "{gone...}", "end"}, []string{"/bin/a", "end"}},
		{[]any{"/bin/a", []any{"-p", "{n}x{gone}"}, "--", "{name}"}, []string{"/bin/a", "--", "nginx.service"}},
		{[]any{"/bin/a", []any{"-p", "x{n}"}, "--"}, []string{"/bin/a", "-p", "x-7", "--"}},
		{[]any{"/bin/a", []any{"-e", "{empty}"}}, []string{"/bin/a", "-e", ""}},
		{[]any{"/bin/a", []any{"-p", "{ports...}"}}, []string{"/bin/a", "-p", "80", "443"}},
		{[]any{"/bin/a", []any{"-p", "{none...}"}, []any{"-q", "{gone...}"}, "x"}, []string{"/bin/a", "x"}},
	} {
		got, err := command(t, c.elements...).Argv(values, never)
		if d := cmp.Diff(c.want, got); err != nil || d != "" {
			t.Errorf("%v: %v\n%s", c.elements, err, d)
		}
	}
	c, err := ParseCommand([]string{"/bin/a", "{n}"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Argv(values, func(name string) bool { return name == "n" }); err != nil || len(got) != 2 || got[1] != "-7" {
		t.Errorf("allow_dash: %v, %v", got, err)
	}
}

func TestArgvRefuses(t *testing.T) {
	option := func(s string) string { return ` cannot begin with "-" (` + s + `): it would be read as an option` }
	for element, want := range map[string]string{
		"{dash}":        "dash" + option(`"-rf"`),
		"{dash}.conf":   "dash" + option(`"-rf"`),
		"{empty}{dash}": "dash" + option(`"-rf"`), // whichever value brings the first byte
		"{n}":           "n" + option(`"-7"`),
		"{opts...}":     "opts" + option(`"-b"`),
		"{gone}":        "gone has no value",
		"x{ports}":      "ports is a list or an object, which cannot stand inside an argument",
		"{object}":      "object is a list or an object, which cannot stand inside an argument",
		"{deep...}":     "deep is a list or an object, which cannot stand inside an argument",
		"{name...}":     "name must be a list here",
	} {
		got, err := command(t, "/bin/a", element).Argv(values, never)
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, %v\n\twant %s", element, got, err, want)
		}
	}
	if got, err := command(t, "/bin/a", []any{"--", "{dash}"}).Argv(values, never); err == nil {
		t.Errorf("in a group: %v", got)
	}
}

func TestCommandParts(t *testing.T) {
	c := command(t, "/usr/bin/nmap", []any{"-p", "{ports}{n}"}, "--", "{host}", "/etc/{{x}}", []any{"{more...}"}, "{list...}", "{host}")
	if d := cmp.Diff([]Use{{"ports", false, true}, {"n", false, true}, {"host", false, false}, {"more", true, true}, {"list", true, false}, {"host", false, false}}, c.Names()); d != "" {
		t.Errorf("Names (-want +got):\n%s", d)
	}
	want := []Element{
		{At: Place{0, 0}, Lead: "/usr/bin/nmap"}, {At: Place{1, 0}, Lead: "-p", Group: 2}, {At: Place{1, 1}, Names: []string{"ports", "n"}, Group: 2},
		{At: Place{2, 0}, Lead: "--"}, {At: Place{3, 0}, Names: []string{"host"}}, {At: Place{4, 0}, Lead: "/etc/{x}"},
		{At: Place{5, 0}, Names: []string{"more"}, Spread: true, Group: 6},
		{At: Place{6, 0}, Names: []string{"list"}, Spread: true}, {At: Place{7, 0}, Names: []string{"host"}},
	}
	if d := cmp.Diff(want, c.Elements()); d != "" {
		t.Errorf("Elements (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]bool{"host": true, "list": true, "more": true}, c.Given(Values{"n": int64(1), "more": []any{"x"}})); d != "" {
		t.Errorf("Given (-want +got):\n%s", d)
	}
	if c.Program() != "/usr/bin/nmap" {
		t.Errorf("Program %q", c.Program())
	}
}

func TestParseCommandRefuses(t *testing.T) {
	for _, c := range []struct {
		elements any
		want     string
	}{
		{"/bin/sh -c id", "a command is a list of strings and of groups (lists of strings), not /bin/sh -c id"},
		{[]any{}, "a command needs at least its program"},
		{[]any{"ls"}, `the program "ls" must be an absolute path`},
		{[]any{""}, `the program "" must be an absolute path`},
		{[]any{"/bin/{name}"}, "a command's first element is its program, which cannot be a param or a group"},
		{[]any{"{names...}"}, "a command's first element is its program, which cannot be a param or a group"},
		{[]any{[]any{"/bin/a", "{x}"}}, "a command's first element is its program, which cannot be a param or a group"},
		{[]any{"/bin/a", int64(5)}, "a command is a list of strings and of groups (lists of strings), not 5"},
		{[]any{"/bin/a", []any{"-x", []any{"{y}"}}}, "a group holds strings alone, not [{y}]"},
		{[]any{"/bin/a", []any{"-x"}}, "the group [-x] names no param, so it would always stand; write its elements without the inner brackets"},
		{[]any{"/bin/a", []any{}}, "the group [] names no param, so it would always stand; write its elements without the inner brackets"},
		{[]any{"/bin/a", "x{y"}, `"{" is never closed; write "{{" for a brace`},
		{[]any{"/bin/a", []any{"{y"}}, `"{" is never closed; write "{{" for a brace`},
		{[]any{"/bin/a", "{params}"}, "{params} can stand in stdin alone"},
		{[]any{"/bin/a", "{params...}"}, "{params} can stand in stdin alone"},
	} {
		if _, err := ParseCommand(c.elements); err == nil || err.Error() != c.want {
			t.Errorf("%v: %v\n\twant %s", c.elements, err, c.want)
		}
	}
}

// FuzzParse: what parses expands to one argument whose value parts are exactly
// the values, whatever these contain.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "{a}", "{{a}}", "{{{a}}}", "x{a}y{b}", "{a...}", "{", "}", "}}{", "{a}{a}", "\x00", "é{a}"} {
		f.Add(seed, "-{b}{{", "}}")
	}
	f.Fuzz(func(t *testing.T, source, a, b string) {
		c, err := ParseCommand([]any{"/bin/a", source})
		if err != nil {
			return
		}
		v := Values{"a": a, "b": b}
		want := source
		for _, u := range c.Names() {
			if u.Spread || v[u.Name] == nil {
				return
			}
		}
		// Independent of the parser: hide doubled braces, then replace.
		want = strings.NewReplacer("{{", "{", "}}", "}", "{a}", a, "{b}", b).Replace(want)
		always := func(string) bool { return true }
		argv, err := c.Argv(v, always)
		if err != nil || len(argv) != 2 || argv[1] != want {
			t.Errorf("%q with a=%q b=%q: %q, %v; want %q", source, a, b, argv, err, want)
		}
		strict, err := c.Argv(v, never)
		if err == nil && strings.HasPrefix(strict[1], "-") && !strings.HasPrefix(source, "-") {
			t.Errorf("%q with a=%q b=%q: a value starts the argument %q", source, a, b, strict[1])
		}
	})
}
