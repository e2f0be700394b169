package schema

import (
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValidateRefuses(t *testing.T) {
	pattern := func(s string) *Param { return &Param{Type: "string", Pattern: regexp.MustCompile(s)} }
	unanchored := func(s string) string { return s + " would match a part of the value; write ^(?:…)$ around it" }
	object := func(p *Param) *Param {
		return listOf(&Param{Type: "object", Properties: map[string]*Param{"x": p}})
	}
	for _, c := range []struct {
		p             *Param
		keyword, want string
	}{
		{&Param{}, "type", "is missing; write one of string, integer, number, boolean, array"},
		{&Param{Type: "String"}, "type", `"String" is not a type; write one of string, integer, number, boolean, array`},
		{&Param{Type: "object"}, "type", "an object can only be the items of an array"},
		{&Param{Type: "integer", MaxLength: new(3)}, "maxLength", "cannot stand with type integer; it is for type string"},
		{&Param{Type: "string", Minimum: int64(3)}, "minimum", "cannot stand with type string; it is for type integer or number"},
		{&Param{Type: "integer", Sensitive: true}, "sensitive", "cannot stand with type integer; it is for type string"},
		{&Param{Type: "boolean", AllowDash: true}, "allow_dash", "cannot stand with type boolean; it is for type string or integer or number or array"},
		{&Param{Type: "string", Unique: true}, "uniqueItems", "cannot stand with type string; it is for type array"},
		{&Param{Type: "integer", Minimum: int64(3), Maximum: int64(2)}, "minimum", "3 is greater than maximum 2"},
		{&Param{Type: "integer", Minimum: int64(1<<62 + 1), Maximum: int64(1 << 62)}, "minimum", "4611686018427387905 is greater than maximum 4611686018427387904"},
		{&Param{Type: "number", Minimum: 0.2, Maximum: 0.1}, "minimum", "0.2 is greater than maximum 0.1"},
		{&Param{Type: "integer", Minimum: 1.5}, "minimum", "must be an integer, not 1.5"},
		{&Param{Type: "integer", Maximum: "9"}, "maximum", `must be an integer, not "9"`},
		{&Param{Type: "string", MinLength: new(3), MaxLength: new(2)}, "minLength", "3 is greater than maxLength 2"},
		{&Param{Type: "string", MaxLength: new(-1)}, "maxLength", "cannot be negative"},
		{&Param{Type: "array", Items: str(), MinItems: new(3), MaxItems: new(2)}, "minItems", "3 is greater than maxItems 2"},
		{pattern(`a`), "pattern", unanchored(`a`)},
		{pattern(`^a`), "pattern", unanchored(`^a`)},
		{pattern(`a$`), "pattern", unanchored(`a$`)},
		{pattern(`^a|b$`), "pattern", unanchored(`^a|b$`)},
		{pattern(`(?m)^a$`), "pattern", unanchored(`(?m)^a$`)},
		{pattern(`(?:^a)?$`), "pattern", unanchored(`(?:^a)?$`)},
		{pattern(``), "pattern", unanchored(``)},
		{&Param{Type: "string", Formats: []string{"ipv5"}}, "format", `"ipv5" is not a format; did you mean "ipv4"?`},
		{&Param{Type: "string", Formats: []string{"colour"}}, "format", `"colour" is not a format; write one of ipv4, ipv6, cidr, hostname, host, port, email, uuid, date-time, duration, bytes, path`},
		{&Param{Type: "string", Formats: []string{}}, "format", "an empty list allows no value"},
		{&Param{Type: "integer", Formats: []string{"bytes"}}, "format", `"bytes" cannot stand with type integer; only "port" can`},
		{&Param{Type: "string", Formats: []string{"path"}}, "format", `"path" needs under, the directory that the path must lie in: under = "/srv"`},
		{&Param{Type: "string", File: true}, "file", `can only stand with format = "path" and under = "/folder", from which the file is opened`},
		{&Param{Type: "string", Formats: []string{"host"}, Under: "/srv"}, "under", `can only stand with format = "path"`},
		{&Param{Type: "string", Formats: []string{"path"}, Under: "/srv/../etc"}, "under", `"/srv/../etc" must be an absolute path without "..", ".", "//" or a slash at its end`},
		{&Param{Type: "string", Formats: []string{"host"}, Multiline: true}, "multiline", "cannot stand with format: no format has several lines"},
		{&Param{Type: "string", Enum: []any{"a", int64(1)}}, "enum", "value 2 must be a string, not the number 1"},
		{&Param{Type: "string", Enum: []any{}}, "enum", "an empty list allows no value"},
		{&Param{Type: "integer", Minimum: int64(5), Enum: []any{int64(6), int64(4)}}, "enum", "value 2 must be an integer of at least 5, not 4"},
		{&Param{Type: "integer", Const: "x"}, "const", `must be an integer, not "x"`},
		{&Param{Type: "string", Enum: []any{"a"}, Default: "b"}, "default", `must be one of "a", not "b"`},
		{&Param{Type: "string", Sensitive: true, Default: "hunter2"}, "sensitive", "cannot stand with enum, const or default: all who may call the action can read these"},
		{&Param{Type: "array"}, "items", `is missing; say what the list holds: items = { type = "string" }`},
		{listOf(&Param{Type: "integer", Minimum: int64(2), Maximum: int64(1)}), "items.minimum", "2 is greater than maximum 1"},
		{listOf(&Param{Type: "string", Optional: true}), "items.optional", "cannot stand in items: an item is there or not"},
		{listOf(&Param{Type: "string", Default: "x"}), "items.default", "cannot stand in items: an item is there or not"},
		{listOf(&Param{Type: "string", Sensitive: true}), "items.sensitive", "can only be a whole param, not a part of one"},
		{listOf(&Param{Type: "object"}), "items.properties", "is missing; say what the object holds: properties = { name = { type = \"string\" } }"},
		{object(&Param{Type: "object"}), "items.properties.x.type", "an object can only be the items of an array"},
		{object(&Param{Type: "string", Sensitive: true}), "items.properties.x.sensitive", "can only be a whole param, not a part of one"},
	} {
		keyword, err := c.p.Validate()
		if err == nil || keyword != c.keyword || err.Error() != c.want {
			t.Errorf("%+v\n\tgot  %s: %v\n\twant %s: %s", *c.p, keyword, err, c.keyword, c.want)
		}
	}
}

func TestAnchored(t *testing.T) {
	for _, s := range []string{`^a$`, `\Aa\z`, `^(?:a|b)$`, `^a$|^b$`, `(^a$)`, `^$`, `^(a|b)(c)$`, `(?i)^a$`, `(?s)^.*$`, `^ab$|^ac$|^$`} {
		if re := regexp.MustCompile(s); !anchored(re) {
			t.Errorf("%s counts as not anchored", s)
		}
	}
}

// TestValidateTypes: TOML writes 1 where a number is meant, and 1.0 where an
// integer is.
func TestValidateTypes(t *testing.T) {
	number := valid(t, &Param{Type: "number", Minimum: int64(0), Maximum: int64(9), Enum: []any{int64(1), 2.5}, Default: int64(1)})
	want := &Param{Type: "number", Minimum: 0.0, Maximum: 9.0, Enum: []any{1.0, 2.5}, Default: 1.0}
	if d := cmp.Diff(want, number); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	integer := valid(t, &Param{Type: "integer", Minimum: 1.0, Const: 2.0})
	if d := cmp.Diff(&Param{Type: "integer", Minimum: int64(1), Const: int64(2)}, integer); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
