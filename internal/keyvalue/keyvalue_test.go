package keyvalue

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"deputy"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name, message string
		want          Message
	}{
		{"the original's", "action:start\ntask_ids:1\nmodule:SCAN_MODULE\nsignature:abc\n\n\n",
			Message{Action: "start", Module: "SCAN_MODULE", Signature: "abc", Params: deputy.Params{"task_ids": deputy.Text("1")}}},
		{"keys in any case, CRLF, spaces", "Module : m\r\nACTION: a\r\nText:  two spaces \r\n\r\n",
			Message{Module: "m", Action: "a", Params: deputy.Params{"text": deputy.Text(" two spaces ")}}},
		{"a colon in the value", "action: a\nurl: http://x:1/\n\n", Message{Action: "a", Params: deputy.Params{"url": deputy.Text("http://x:1/")}}},
		{"an object of params", "action: a\nparams: {\"n\": 1e2}\n\n", Message{Action: "a", Params: deputy.Params{"n": deputy.Number("1e2")}}},
		{"hyphens are not params", "End-User: alice\nIdempotency-Key: k\naction: a\n\n",
			Message{Action: "a", EndUser: "alice", IdempotencyKey: "k", Params: deputy.Params{}}},
		{"authorization first", "Authorization: Deputy1 x\naction: a\n\n", Message{Action: "a", Authorization: "Deputy1 x", Params: deputy.Params{}}},
		{"nothing", "\n", Message{Params: deputy.Params{}}},
		{"what follows the empty line does not count", "action: a\n\naction: b\n\n", Message{Action: "a", Params: deputy.Params{}}},
	} {
		got, err := Parse([]byte(test.message))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if diff := cmp.Diff(test.want, *got); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, test := range []struct{ message, want string }{
		{"action: a\n", "does not end with an empty line"},
		{"action a\n\n", `line 1: "action a" is not 'Key: Value'`},
		{": a\n\n", `line 1: "" is not a key`},
		{"a b: c\n\n", `line 1: "a b" is not a key`},
		{"n: 1\nN: 2\n\n", `line 2: the key "n" stands twice`},
		{"action: a\nAuthorization: x\n\n", "line 2: an Authorization must be the first line"},
		{"params: {\"a\":1,\"a\":2}\n\n", `the name "a" stands`},
		{"params: {}\nn: 1\n\n", "both in a JSON object and as lines"},
		{"End-User:  alice\n\n", "line 1: End-User must be"},
		{"End-User: alice \n\n", "line 1: End-User must be"},
		{"End-User: alice\t\r\n\r\n", "line 1: End-User must be"},
		{"End-User:\n\n", "line 1: End-User must be"},
		{"End-User: a\u00a0\n\n", "line 1: End-User must be"},
		{"Idempotency-Key:  k\n\n", "line 1: Idempotency-Key must be"},
		{"Idempotency-Key: k \n\n", "line 1: Idempotency-Key must be"},
		{"action: \xff\n\n", "not UTF-8"},
		{"action: " + strings.Repeat("a", MaxLine) + "\n\n", "a line has more than 8192 bytes"},
		{strings.Repeat("a\n", MaxMessage), "more than 16384 bytes"},
		{strings.Repeat("a: b\n", MaxLines+1) + "\n", "more than 64 lines"},
	} {
		_, err := Parse([]byte(test.message))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.60q: %v, want %q", test.message, err, test.want)
		}
	}
}

func TestComplete(t *testing.T) {
	for message, want := range map[string]int{
		"": 0, "a: b": 0, "a: b\n": 0, "a: b\n\n": 6, "a: b\r\n\r\n": 8, "\n": 1, "\r\n": 2, "a: b\n\nrest": 6, "a: b\n\r": 0,
	} {
		if got := Complete([]byte(message)); got != want {
			t.Errorf("%q: %d, want %d", message, got, want)
		}
	}
}

func TestAuthorization(t *testing.T) {
	value, body := Authorization([]byte("authorization: Deputy1 x\r\naction: a\n\n"))
	if value != "Deputy1 x" || string(body) != "action: a\n\n" {
		t.Errorf("%q, %q", value, body)
	}
	if value, body := Authorization([]byte("action: a\n\n")); value != "" || string(body) != "action: a\n\n" {
		t.Errorf("%q, %q", value, body)
	}
}

// Before a message is authenticated two lines of it are looked for, and nothing is
// made of the others, whatever they are.
func TestScan(t *testing.T) {
	for _, test := range []struct{ message, module, signature string }{
		{"action:start\ntask_ids:1\nmodule:SCAN_MODULE\nsignature:abc\n\n\n", "SCAN_MODULE", "abc"},
		{"Module : m\r\nSIGNATURE:  s \r\n\r\n", "m", " s "},
		{"signature: s\nmodule: m", "m", "s"},
		{"no line of that form\n\xff\xfe: \n: \na b: c\nn: 1\nn: 2\nparams: {\"a\":\nmodule: m\nsignature: s\n\n", "m", "s"},
		{"module: m\nsignature: s\nmodule: n\n\n", "", ""},
		{"module: m\nsignature: s\nsignature: s\n\n", "", ""},
		{"module: m\n\nsignature: s\n\n", "", ""},
		{"module: \nsignature: s\n\n", "", ""},
		{"module: m\ns\u0130gnature: s\n\n", "", ""},
		{"module: m\n\u017fignature: s\n\n", "", ""},
		{"", "", ""},
		{"module: m\nsignature: s\n" + strings.Repeat("x", MaxMessage), "", ""},
	} {
		if module, signature := Scan([]byte(test.message)); module != test.module || signature != test.signature {
			t.Errorf("%.80q: %q, %q, want %q, %q", test.message, module, signature, test.module, test.signature)
		}
	}
}

// What Scan finds Parse reads the same, or refuses.
func FuzzScan(f *testing.F) {
	f.Add([]byte("action:start\ntask_ids:1\nmodule:SCAN_MODULE\nsignature:abc\n\n\n"))
	f.Add([]byte("Module : m\r\ns\u0130gnature:x\nSIGNATURE:  s \r\n\r\n"))
	f.Fuzz(func(t *testing.T, message []byte) {
		module, _ := Scan(message)
		if m, err := Parse(message); err == nil && module != "" && m.Module != module {
			t.Errorf("Scan finds the module %q, Parse %q", module, m.Module)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("action:start\ntask_ids:1\nmodule:SCAN_MODULE\nsignature:abc\n\n\n"))
	f.Add([]byte("Authorization: Deputy1 x\nparams: {\"a\": [1]}\n\n"))
	f.Fuzz(func(t *testing.T, message []byte) {
		m, err := Parse(message)
		if err != nil {
			return
		}
		for name, value := range m.Params {
			if _, line := value.(deputy.Text); line && strings.Contains(name, "\n") {
				t.Errorf("a param's name holds a line feed: %q", name)
			}
		}
		if Complete(message) == 0 {
			t.Error("an incomplete message was read")
		}
	})
}
