package schema

import (
	"encoding/json"
	"math"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"deputy"
)

func str() *Param   { return &Param{Type: "string"} }
func whole() *Param { return &Param{Type: "integer"} }

func listOf(items *Param) *Param { return &Param{Type: "array", Items: items} }

// valid fails the test unless the declaration is sane.
func valid(t testing.TB, p *Param) *Param {
	t.Helper()
	if keyword, err := p.Validate(); err != nil {
		t.Fatalf("Validate: %s %v", keyword, err)
	}
	return p
}

func TestCheckGives(t *testing.T) {
	number := &Param{Type: "number"}
	boolean := &Param{Type: "boolean"}
	object := listOf(&Param{Type: "object", Properties: map[string]*Param{
		"host": str(), "port": {Type: "integer", Default: int64(80)}, "note": {Type: "string", Optional: true}}})
	for _, c := range []struct {
		p        *Param
		in, want any
	}{
		{str(), "x", "x"},
		{str(), deputy.Text(" a, b "), " a, b "},
		{str(), "", ""},
		{&Param{Type: "string", Multiline: true}, "a\r\n\tb\x1b", "a\r\n\tb\x1b"},
		{whole(), deputy.Number("1"), int64(1)},
		{whole(), json.Number("-7"), int64(-7)},
		{whole(), deputy.Number("1.0"), int64(1)},
		{whole(), deputy.Number("1e2"), int64(100)},
		{whole(), deputy.Number("1.5E1"), int64(15)},
		{whole(), deputy.Number("12300e-2"), int64(123)},
		{whole(), deputy.Number("-0"), int64(0)},
		{whole(), deputy.Number("0.000e99999999999999999999"), int64(0)},
		{whole(), deputy.Number("9223372036854775807"), int64(math.MaxInt64)},
		{whole(), deputy.Number("9223372036854775807.000"), int64(math.MaxInt64)},
		{whole(), deputy.Number("-9223372036854775808"), int64(math.MinInt64)},
		{whole(), deputy.Number("922337203685477580700000000000000e-14"), int64(9223372036854775807)},
		{whole(), deputy.Number("0.0000000000000000000000000001e28"), int64(1)},
		{whole(), deputy.Text("42"), int64(42)},
		{whole(), int64(5), int64(5)},
		{whole(), float64(5), int64(5)},
		{number, deputy.Number("1e2"), float64(100)},
		{number, deputy.Number("0.1"), 0.1},
		{number, deputy.Text("-2.50"), -2.5},
		{number, int64(3), float64(3)},
		{boolean, true, true},
		{boolean, deputy.Text("false"), false},
		{listOf(whole()), deputy.Text("1, 2 ,3"), []any{int64(1), int64(2), int64(3)}},
		{listOf(whole()), deputy.Text("  "), []any{}},
		{listOf(str()), deputy.Text(""), []any{}},
		{listOf(str()), deputy.Text("a,,b"), []any{"a", "", "b"}},
		{listOf(str()), []any{"a, b"}, []any{"a, b"}},
		{listOf(whole()), []any{}, []any{}},
		{object, []any{map[string]any{"host": "h"}}, []any{map[string]any{"host": "h", "port": int64(80)}}},
	} {
		got, err := valid(t, c.p).Check(c.in)
		if err != nil {
			t.Errorf("%s %#v: %v", c.p.Type, c.in, err)
		} else if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s %#v (-want +got):\n%s", c.p.Type, c.in, d)
		}
	}
	for _, zero := range []any{deputy.Number("-0.0"), math.Copysign(0, -1)} {
		got, err := number.Check(zero)
		if f, ok := got.(float64); err != nil || !ok || math.Signbit(f) {
			t.Errorf("%v gives %v, %v: it would be written as \"-0\"", zero, got, err)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	port := &Param{Type: "integer", Minimum: int64(1), Maximum: int64(65535)}
	member := listOf(&Param{Type: "object", Properties: map[string]*Param{"host": str()}})
	for _, c := range []struct {
		p    *Param
		in   any
		want string
	}{
		{port, "x", `must be an integer from 1 to 65535, not "x"`},
		{port, "5", `must be an integer from 1 to 65535, not "5"`},
		{port, deputy.Text("+5"), `must be an integer from 1 to 65535, not "+5"`},
		{port, deputy.Text("007"), `must be an integer from 1 to 65535, not "007"`},
		{port, deputy.Text("0x10"), `must be an integer from 1 to 65535, not "0x10"`},
		{port, deputy.Text(""), `must be an integer from 1 to 65535, not ""`},
		{port, deputy.Number("0"), `must be an integer from 1 to 65535, not 0`},
		{port, deputy.Number("65536"), `must be an integer from 1 to 65535, not 65536`},
		{port, deputy.Number("1.5"), `must be an integer from 1 to 65535, not 1.5`},
		{port, nil, `must be an integer from 1 to 65535, not null`},
		{port, true, `must be an integer from 1 to 65535, not true`},
		{port, []any{int64(1)}, `must be an integer from 1 to 65535, not a list`},
		{port, map[string]any{}, `must be an integer from 1 to 65535, not an object`},
		{whole(), deputy.Number("9223372036854775808"), `must be an integer, not 9223372036854775808`},
		{whole(), deputy.Number("1e99999999999"), `must be an integer, not 1e99999999999`},
		{whole(), deputy.Number("1e-1"), `must be an integer, not 1e-1`},
		{whole(), math.Inf(1), `must be an integer, not +Inf`},
		{whole(), float64(1 << 63), `must be an integer, not 9223372036854776000`},
		{&Param{Type: "integer", Minimum: int64(2)}, int64(1), `must be an integer of at least 2, not 1`},
		{&Param{Type: "number", Maximum: 0.5}, deputy.Number("0.75"), `must be a number of at most 0.5, not 0.75`},
		{&Param{Type: "number"}, deputy.Number("1e999"), `must be a number, not 1e999`},
		{&Param{Type: "number"}, math.NaN(), `must be a number, not NaN`},
		{&Param{Type: "number"}, deputy.Text("Infinity"), `must be a number, not "Infinity"`},
		{&Param{Type: "boolean"}, deputy.Text("yes"), `must be true or false, not "yes"`},
		{&Param{Type: "boolean"}, "true", `must be true or false, not "true"`},
		{str(), deputy.Number("5"), `must be a string, not the number 5`},
		{str(), "a\nb", `must be one line without control characters`},
		{str(), "a\x00b", `must be one line without control characters`},
		{str(), "a\u0085b", `must be one line without control characters`},
		{str(), "a\u2028b", `must be one line without control characters`},
		{str(), "a\xffb", `must be valid UTF-8`},
		{&Param{Type: "string", Multiline: true}, "a\n\x00", `must not hold a NUL character`},
		{&Param{Type: "string", MinLength: new(2), MaxLength: new(3)}, "äöüß", `must have from 2 to 3 characters, not 4`},
		{&Param{Type: "string", MinLength: new(1)}, "", `must have at least 1 character, not 0`},
		{&Param{Type: "string", MaxLength: new(1)}, "ab", `must have at most 1 character, not 2`},
		{&Param{Type: "string", Pattern: regexp.MustCompile(`^[a-z]+$`)}, "A", `must be text like ^[a-z]+$, not "A"`},
		{&Param{Type: "string", Pattern: regexp.MustCompile(`^[a-z]+$`)}, "a\n", `must be one line without control characters`},
		{&Param{Type: "string", Enum: []any{"on", "off"}}, "On", `must be one of "on", "off", not "On"`},
		{&Param{Type: "integer", Enum: []any{int64(1), int64(2)}}, int64(3), `must be one of 1, 2, not 3`},
		{&Param{Type: "string", Const: "yes"}, "no", `must be "yes", not "no"`},
		{&Param{Type: "string", Formats: []string{"ipv4", "hostname"}}, "a b", `must be an IPv4 address or a host name, not "a b"`},
		{&Param{Type: "integer", Formats: []string{"port"}}, int64(0), `must be a port from 1 to 65535, not 0`},
		{listOf(whole()), "1,2", `must be a list, not "1,2"`},
		{listOf(whole()), deputy.Text("1,x"), `has a wrong item 2: it must be an integer, not "x"`},
		{&Param{Type: "array", Items: whole(), MinItems: new(1), MaxItems: new(2)}, []any{}, `must have from 1 to 2 items, not 0`},
		{&Param{Type: "array", Items: whole(), MinItems: new(2), MaxItems: new(2)}, []any{int64(1)}, `must have exactly 2 items, not 1`},
		{&Param{Type: "array", Items: whole(), Unique: true}, []any{deputy.Number("1"), deputy.Number("2"), deputy.Number("1.0")},
			`must not have an item twice: items 1 and 3 are equal`},
		{member, []any{map[string]any{}}, `has a wrong item 1: it has a wrong member: host is missing: it must be a string`},
		{member, []any{map[string]any{"host": "h", "hots": "h"}}, `has a wrong item 1: it has a wrong member: hots is not a param here; did you mean host?`},
		{member, []any{"x"}, `has a wrong item 1: it must be an object, not "x"`},
		{&Param{Type: "string", Sensitive: true, MaxLength: new(3), Pattern: regexp.MustCompile("^[0-9]*$")}, "abc", `must be text like ^[0-9]*$`},
		{&Param{Type: "string", Sensitive: true, Formats: []string{"uuid"}}, "hunter2", `must be a UUID`},
		{str(), json.Number(strings.Repeat("9", 100)), `must be a string, not the number ` + strings.Repeat("9", 40)},
		{whole(), strings.Repeat("é", 100), `must be an integer, not "` + strings.Repeat("é", 40) + `"…`},
	} {
		got, err := valid(t, c.p).Check(c.in)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s %#v: got %v, error\n\t%v\nwant\n\t%s", c.p.Type, c.in, got, err, c.want)
		}
	}
}

func TestCheckAll(t *testing.T) {
	params := map[string]*Param{
		"host":  str(),
		"port":  {Type: "integer", Default: int64(80)},
		"quick": {Type: "boolean", Optional: true},
		"count": whole(),
	}
	typed, wrong := CheckAll(params, map[string]any{"host": "h", "count": deputy.Number("3")})
	if d := cmp.Diff(map[string]any{"host": "h", "count": int64(3), "port": int64(80)}, typed); d != "" || wrong != nil {
		t.Errorf("typed (-want +got):\n%s, wrong %v", d, wrong)
	}
	_, wrong = CheckAll(params, map[string]any{"hst": "h", "count": "x", "zzz": nil, "Quick": true, strings.Repeat("y", 5000): 1})
	want := []deputy.ParamError{
		{Param: `"` + strings.Repeat("y", 40) + `"…`, Detail: "is not a param here"},
		{Param: `Quick`, Detail: "is not a param here; did you mean quick?"},
		{Param: "count", Detail: `must be an integer, not "x"`},
		{Param: "host", Detail: "is missing: it must be a string"},
		{Param: `hst`, Detail: "is not a param here; did you mean host?"},
		{Param: `zzz`, Detail: "is not a param here"},
	}
	if d := cmp.Diff(want, wrong); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestFormats(t *testing.T) {
	good := map[string]string{
		"ipv4":     "0.0.0.0 127.0.0.1 255.255.255.255",
		"ipv6":     ":: ::1 2001:db8::1 ::ffff:1.2.3.4 FE80::A",
		"cidr":     "10.0.0.0/8 10.1.2.3/32 0.0.0.0/0 2001:db8::/32 ::/0",
		"hostname": "a localhost example.com xn--bcher-kva.example a-b.c 3com.com 1.2.3.4a " + strings.Repeat("a", 63) + ".b",
		"host":     "127.0.0.1 ::1 example.com",
		"port":     "1 80 65535",
		"email":    "a@b.example first.last+tag@mail.example o'x@b-c.example -a@b.c",
		"uuid":     "00000000-0000-0000-0000-000000000000 0190C0DE-AAAA-7bbb-8ccc-0123456789ab",
		"date-time": "2006-01-02T15:04:05Z 2006-01-02T15:04:05.123+02:00 2024-02-29T00:00:00Z 2006-01-02t15:04:05z 2006-01-02T15:04:05-23:59 " +
			"2016-12-31T23:59:60Z 2017-01-01T00:59:60+01:00 2016-12-31T15:59:60.5-08:00 1998-12-31t23:59:60z 1990-06-30T23:59:60Z",
		"duration": "0s 90s 1h30m 250ms 7d",
		"bytes":    "0 512 1B 64KiB 8MiB 2GiB 1TiB",
		"path":     "/srv/a /srv/a/b.txt /srv/..a /srv/a..b /srv/-x /srv/...",
	}
	bad := map[string]string{
		"ipv4":     "1.2.3 1.2.3.4.5 256.1.1.1 01.2.3.4 ::1 1.2.3.4/8 a",
		"ipv6":     "1.2.3.4 fe80::1%eth0 ::1::2 [::1] 12345::",
		"cidr":     "10.0.0.0 10.0.0.0/33 10.0.0.0/08 10.0.0.0/-1 fe80::1%eth0/64 a/8",
		"hostname": "-a a- a..b .a a. a_b 127.1 1.2.3.4 2130706433 0x7f000001 a.0X7F a.1 ä.example a/b a:1 " + strings.Repeat("a", 64) + " " + strings.Repeat("a.", 126) + "aa",
		"host":     "127.1 -x 1.2.3 [::1] a,b 0x7f.1",
		"port":     "0 65536 -1 +80 080 80.0 http 99999999999999999999",
		"email":    "a @b a@ a@b@c .a@b a.@b a..b@c a@-b a@1.2.3.4 a@[1.2.3.4] \"a\"@b a@b.c, " + strings.Repeat("a", 65) + "@b",
		"uuid":     "x 00000000000000000000000000000000 {00000000-0000-0000-0000-000000000000} 00000000-0000-0000-0000-00000000000g",
		"date-time": "2006-01-02 2006-01-02T15:04:05 2006-01-02T5:04:05Z 2006-13-02T15:04:05Z 2023-02-29T00:00:00Z 2006-01-02T15:04:05,5Z 2006-01-02T24:00:00Z " +
			"2006-01-02T15:04:05-24:00 2006-01-02T15:04:05+24:00 2006-01-02T15:04:05+00:60 2006-01-02T15:04:05+2:00 2006-01-02T15:04:05+0200 " +
			"2016-12-31T22:59:60Z 2016-12-31T23:58:60Z 2016-12-30T23:59:60Z 2016-12-31T23:59:60+01:00 2016-12-31T23:59:61Z 2006-01-02T15:04:60Z 2006-01-02T15:60:05Z 2006-01-0215:04:05Z",
		"duration": "5 s -5s 1.5h 1y PT5S 5s5 1h,5m",
		"bytes":    "-1 1.5MiB 8mib 8M B 1e3 9999999999999999",
		"path":     "/srv /srv/ /srv/a/ /srv/../etc /srv/a/../b /srv/./a /srv//a /srvx/a srv/a ../a . / /etc/passwd",
	}
	for _, f := range Formats() {
		p := &Param{Type: "string", Formats: []string{f}}
		if f == "path" {
			p.Under = "/srv"
		}
		valid(t, p)
		for _, s := range strings.Fields(good[f]) {
			if _, err := p.Check(s); err != nil {
				t.Errorf("%s %q: %v", f, s, err)
			}
		}
		for _, s := range append(strings.Fields(bad[f]), "", " ", "a b", "\x00", "/srv/a\x00b", "/srv/a\nb") {
			if f == "path" && s == "a b" {
				continue
			}
			if _, err := p.Check(s); err == nil {
				t.Errorf("%s takes %q", f, s)
			}
		}
	}
	root := valid(t, &Param{Type: "string", Formats: []string{"path"}, Under: "/"})
	for s, want := range map[string]bool{"/": false, "/etc": true, "//etc": false, "/..": false} {
		if _, err := root.Check(s); (err == nil) != want {
			t.Errorf("path %q under /: %v", s, err)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"port", "ports", "target", "a"}
	for word, want := range map[string]string{"prot": "port", "Ports": "ports", "targt": "target", "tarrgett": "target", "b": "", "zzzz": "", "po": "", "": "", "PORT": "port"} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

// FuzzCheck holds what every caller relies on, whatever is sent: only plain
// typed values come out, they pass again unchanged, and errors are short
// lines.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{`"x"`, `1e2`, `[1,2,"a"]`, `[{"host":"h","port":1}]`, `null`, `-0`, `1E400`, `"a,b"`, `[[]]`, `"\u0000"`} {
		for kind := range uint8(10) {
			f.Add(seed, kind)
		}
	}
	params := []*Param{
		str(), whole(), {Type: "number"}, {Type: "boolean"}, listOf(whole()), listOf(str()),
		{Type: "string", Formats: []string{"path"}, Under: "/srv"},
		{Type: "string", Formats: []string{"host", "cidr", "email", "date-time"}},
		listOf(&Param{Type: "object", Properties: map[string]*Param{"host": str(), "port": {Type: "integer", Optional: true}}}),
		{Type: "array", Unique: true, Items: &Param{Type: "number"}},
	}
	f.Fuzz(func(t *testing.T, sent string, kind uint8) {
		p := params[int(kind)%len(params)]
		values := []any{deputy.Text(sent), sent, deputy.Number(sent)}
		var decoded any
		d := json.NewDecoder(strings.NewReader(sent))
		d.UseNumber()
		if d.Decode(&decoded) == nil {
			values = append(values, decoded)
		}
		for _, v := range values {
			typed, err := p.Check(v)
			if err != nil {
				if s := err.Error(); len(s) > 1000 || strings.ContainsFunc(s, breaksLine) || !utf8.ValidString(s) {
					t.Errorf("%#v: error %q", v, s)
				}
				continue
			}
			again, err := p.Check(typed)
			if d := cmp.Diff(typed, again); err != nil || d != "" {
				t.Errorf("%#v: typed %#v does not pass again: %v\n%s", v, typed, err, d)
			}
			plainOnly(t, typed)
		}
	})
}

func plainOnly(t *testing.T, v any) {
	switch v := v.(type) {
	case string, int64, float64, bool:
	case []any:
		for _, item := range v {
			plainOnly(t, item)
		}
	case map[string]any:
		for _, member := range v {
			plainOnly(t, member)
		}
	default:
		t.Errorf("a %T came out", v)
	}
}
