package request

import (
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"deputy"
)

func TestParseTarget(t *testing.T) {
	for _, c := range []struct {
		text  string
		path  string // its segments, with | between them
		query url.Values
		err   string
	}{
		{"/", "", nil, ""},
		{"/healthz", "healthz", nil, ""},
		{"/v1/actions/m/a", "v1|actions|m|a", nil, ""},
		{"/v1/actions/m/a?", "v1|actions|m|a", nil, ""},
		{"/v1/actions/m/h%2fhit", "v1|actions|m|h/hit", nil, ""},
		{"/v1%2Factions/m/a", "v1/actions|m|a", nil, ""},
		{"/v1/actions/%6d/%61", "v1|actions|m|a", nil, ""},
		{"//v1//tasks/", "|v1||tasks|", nil, ""},
		{"/v1/../v1/./tasks", "v1|..|v1|.|tasks", nil, ""},
		{"/v1/%2e%2e/tasks", "v1|..|tasks", nil, ""},
		{"/a+b/c%2Bd", "a+b|c+d", nil, ""},
		{"/a;b=c,d/-._~!$&'()*:@", "a;b=c,d|-._~!$&'()*:@", nil, ""},
		{"/%ff/%00/%C3%A9", "\xff|\x00|é", nil, ""},
		{"/t?as=uid%3A33&wait=1", "t", url.Values{"as": {"uid:33"}, "wait": {"1"}}, ""},
		{"/t?a=1&a=2&&b", "t", url.Values{"a": {"1", "2"}, "b": {""}}, ""},
		{"/t?a=b+c/d?e|{f}", "t", url.Values{"a": {"b c/d?e|{f}"}}, ""},

		{"", "", nil, "send the path alone"},
		{"*", "", nil, "send the path alone"},
		{"http://deputy/v1/tasks", "", nil, "send the path alone"},
		{"v1/tasks", "", nil, "send the path alone"},
		{"/a b", "", nil, "byte 2 of its path may not stand there as it is; write %20"},
		{"/a\r\nb", "", nil, "write %0D"},
		{"/a#b", "", nil, "write %23"},
		{"/é", "", nil, "write %C3"},
		{"/{id}", "", nil, "write %7B"},
		{"/a%", "", nil, "write % as %25"},
		{"/a%2", "", nil, "write % as %25"},
		{"/a%zz", "", nil, "write % as %25"},
		{"/t?a=%zz", "", nil, "cannot read the query"},
		{"/t?a=1;b=2", "", nil, "cannot read the query"},
		{"/t?a=b c", "", nil, "write %20"},
		{"/t?a=b#c", "", nil, "write %23"},
	} {
		got, err := ParseTarget(c.text)
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: %v, want %q", c.text, err, c.err)
			}
		case err != nil || strings.Join(got.Path, "|") != c.path || !reflect.DeepEqual(got.Query, c.query):
			t.Errorf("%q: %q %v, %v", c.text, got.Path, got.Query, err)
		}
	}
}

func TestIs(t *testing.T) {
	for text, want := range map[string]bool{
		"/v1/tasks/x/stop": true, "/v1/tasks/x%2fy/stop": true, "/v1/tasks//stop": false, "/v1/tasks/x%2Fstop": false,
		"/v1/tasks/x/stop/": false, "/v1/tasks/x/Stop": false, "/v1/tasks/x/st%6Fp": true,
	} {
		target, err := ParseTarget(text)
		if got := target.Is("v1", "tasks", "*", "stop"); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestStop(t *testing.T) {
	for _, c := range []struct {
		body  string
		grace int64
		force bool
		code  deputy.Code
	}{
		{"", DeclaredGrace, false, ""},
		{"{}", DeclaredGrace, false, ""},
		{`{"grace":"5s","force":true}`, 5000, true, ""},
		{`{"grace":"0s"}`, 0, false, ""},
		{`{"grace":"500us"}`, 1, false, ""}, // a signal, and 1 ms; not a kill without a word
		{`{"grace":"1ms1ns"}`, 2, false, ""},
		{`{"grace":"-1s"}`, 0, false, deputy.BadRequest},
		{`{"grace":5}`, 0, false, deputy.BadRequest},
		{`{"force":1}`, 0, false, deputy.BadRequest},
		{`{"forcé":true}`, 0, false, deputy.BadRequest},
		{`{"grace":"1s","grace":"2s"}`, 0, false, deputy.BadJSON},
	} {
		grace, force, err := stop([]byte(c.body))
		if !refusedWith(err, c.code) || c.code == "" && (grace != c.grace || force != c.force) {
			t.Errorf("%s: %d %v %v", c.body, grace, force, err)
		}
	}
}

func TestDrain(t *testing.T) {
	for _, c := range []struct {
		body string
		on   bool
		code deputy.Code
	}{
		{"", true, ""}, {`{"on":true}`, true, ""}, {`{"on":false}`, false, ""},
		{`{"on":1}`, false, deputy.BadRequest}, {`{"off":true}`, false, deputy.BadRequest}, {`[1]`, false, deputy.BadJSON},
	} {
		if on, err := drain([]byte(c.body)); !refusedWith(err, c.code) || c.code == "" && on != c.on {
			t.Errorf("%s: %v %v", c.body, on, err)
		}
	}
}

func refusedWith(err error, code deputy.Code) bool {
	var e *deputy.Error
	return code == "" && err == nil || errors.As(err, &e) && e.Code == code
}

// Whatever is read decodes to the same names again, and no name is made of two
// segments.
func FuzzParseTarget(f *testing.F) {
	f.Add("/v1/actions/m/h%2fhit?wait=1")
	f.Fuzz(func(t *testing.T, text string) {
		target, err := ParseTarget(text)
		if err != nil {
			return
		}
		path, _, _ := strings.Cut(text, "?")
		if len(target.Path) != strings.Count(path, "/") {
			t.Fatalf("%q has the segments %q", text, target.Path)
		}
		again := ""
		for _, name := range target.Path {
			again += "/" + url.PathEscape(name)
		}
		if second, err := ParseTarget(again); err != nil || !reflect.DeepEqual(second.Path, target.Path) {
			t.Fatalf("%q: %q, then %q: %v", text, target.Path, second.Path, err)
		}
	})
}

func TestNames(t *testing.T) {
	long := strings.Repeat("x", MaxName)
	for name, want := range map[string][2]bool{
		"alice": {true, true}, long: {true, true}, long + "x": {}, "": {}, "alice b": {true, false}, "Élise": {true, false},
		" alice": {}, "alice ": {}, " ": {}, "\talice": {}, "alice\u00a0": {}, "\u3000alice": {}, "a\nb": {}, "a\x00b": {}, "a\x7fb": {},
		"a\u0085b": {}, "a\xffb": {}, "a\ufffdb": {},
	} {
		if got := [2]bool{IsEndUser(name), IsKey(name)}; got != want {
			t.Errorf("%q: an end user, a key: %v, want %v", name, got, want)
		}
	}
}
