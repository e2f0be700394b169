package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"deputy"
)

func TestParseGivesValues(t *testing.T) {
	for text, want := range map[string]any{
		`{}`:                           map[string]any{},
		` [ ] `:                        []any{},
		`"ab"`:                         "ab",
		`"a\"\\\/\b\f\n\r\tz"`:         "a\"\\/\b\f\n\r\tz",
		`"\u00e9\uD83D\ude00é😀"`:       "é😀é😀",
		`"\ufffd` + "\ufffd" + `"`:     "\ufffd\ufffd",
		`-0`:                           deputy.Number("-0"),
		`12345678901234567890`:         deputy.Number("12345678901234567890"),
		`1.50`:                         deputy.Number("1.50"),
		`1E+2`:                         deputy.Number("1E+2"),
		`true`:                         true,
		`false`:                        false,
		`null`:                         nil,
		`{"a":[1,{"b":null}],"c":""}`:  map[string]any{"a": []any{deputy.Number("1"), map[string]any{"b": nil}}, "c": ""},
		`{"a":{"b":1},"b":{"a":2}}`:    map[string]any{"a": map[string]any{"b": deputy.Number("1")}, "b": map[string]any{"a": deputy.Number("2")}},
		"\t{\r\n\"A\" : 1 ,\"b\":2}\n": map[string]any{"A": deputy.Number("1"), "b": deputy.Number("2")},
	} {
		got, err := Parse([]byte(text), Limits{})
		if err != nil {
			t.Errorf("Parse(%s): %v", text, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Parse(%s): %s", text, diff)
		}
	}
}

var update = flag.Bool("update", false, "write testdata/refused.txt anew")

// TestRefusals holds every line of testdata/refused.txt: a Go-quoted text, and
// below it the exact message.
func TestRefusals(t *testing.T) {
	const path = "testdata/refused.txt"
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var rewritten strings.Builder
	cases := 0
	lines := strings.Split(strings.TrimRight(string(golden), "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if line == "" || strings.HasPrefix(line, "#") {
			rewritten.WriteString(line + "\n")
			continue
		}
		text, err := strconv.Unquote(line)
		if err != nil {
			t.Fatalf("%s:%d: %v", path, i+1, err)
		}
		want := ""
		if i+1 < len(lines) && strings.HasPrefix(lines[i+1], "  ") {
			i++
			want = lines[i][2:]
		}
		_, err = Parse([]byte(text), Limits{Bytes: 300, Depth: 4, Items: 20})
		var refusal *Error
		if !errors.As(err, &refusal) {
			t.Errorf("%s:%d: %s was accepted", path, i+1, line)
			continue
		}
		cases++
		if err.Error() != want && !*update {
			t.Errorf("%s:%d: %s\n got %s\nwant %s", path, i+1, line, err, want)
		}
		rewritten.WriteString(line + "\n  " + err.Error() + "\n")
	}
	if cases < 40 {
		t.Errorf("%s holds only %d cases", path, cases)
	}
	if *update {
		if err := os.WriteFile(path, []byte(rewritten.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestObject(t *testing.T) {
	for _, text := range []string{"", " \r\n\t", "[]", " [ ] ", "{}"} {
		got, err := Object([]byte(text), Limits{})
		if err != nil || got == nil || len(got) != 0 {
			t.Errorf("Object(%q) = %v, %v; want {}", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"\n [1]":       `cannot read JSON: line 2, column 2: an object is needed here, not an array; send {"name": value}`,
		"null":         `cannot read JSON: line 1, column 1: an object is needed here, not null; send {"name": value}`,
		`"x"`:          `cannot read JSON: line 1, column 1: an object is needed here, not a string; send {"name": value}`,
		"1":            `cannot read JSON: line 1, column 1: an object is needed here, not a number; send {"name": value}`,
		"true":         `cannot read JSON: line 1, column 1: an object is needed here, not a boolean; send {"name": value}`,
		"[]{}":         `cannot read JSON: line 1, column 3: '{' stands after the end of the value; send one value alone`,
		"\xef\xbb\xbf": `cannot read JSON: line 1, column 1: it starts with a byte order mark; send UTF-8 without one`,
	} {
		if _, err := Object([]byte(text), Limits{}); err == nil || err.Error() != want {
			t.Errorf("Object(%q):\n got %v\nwant %s", text, err, want)
		}
	}
}

func TestLimits(t *testing.T) {
	nested := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	list := func(n int) []byte { return []byte("[" + strings.TrimSuffix(strings.Repeat("1,", n), ",") + "]") }
	for name, c := range map[string]struct {
		text   []byte
		limits Limits
		ok     bool
	}{
		"deepest by default":   {nested(32), Limits{}, true},
		"one deeper":           {nested(33), Limits{}, false},
		"200 levels":           {nested(200), Limits{}, false},
		"a million levels":     {bytes.Repeat([]byte("["), 1<<20), Limits{}, false},
		"most items":           {list(5), Limits{Items: 5}, true},
		"one item more":        {list(6), Limits{Items: 5}, false},
		"longest":              {list(5), Limits{Bytes: 11}, true},
		"one byte more":        {list(5), Limits{Bytes: 10}, false},
		"white space counts":   {bytes.Repeat([]byte(" "), 11), Limits{Bytes: 10}, false},
		"the default in bytes": {append(bytes.Repeat([]byte(" "), 1<<20), '1'), Limits{}, false},
	} {
		_, err := Parse(c.text, c.limits)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		var refusal *Error
		tooLarge := errors.As(err, &refusal) && refusal.TooLarge
		if want := c.limits.withDefaults().Bytes < len(c.text); tooLarge != want {
			t.Errorf("%s: TooLarge = %t, want %t", name, tooLarge, want)
		}
	}
	if _, err := Object(bytes.Repeat([]byte(" "), 11), Limits{Bytes: 10}); err == nil {
		t.Error("Object accepted more bytes than its limit")
	}
}

func TestErrorPlace(t *testing.T) {
	text := "{\n  \"é\": \"é\" x}"
	_, err := Parse([]byte(text), Limits{})
	var got *Error
	if !errors.As(err, &got) {
		t.Fatal(err)
	}
	// Columns count characters, the offset counts bytes.
	if got.Offset != strings.Index(text, "x") || got.Line != 2 || got.Col != 12 {
		t.Errorf("offset %d, line %d, column %d", got.Offset, got.Line, got.Col)
	}
}

// FuzzParse holds Parse against encoding/json: what it accepts, that accepts
// too and reads the same from, also after it was written anew.
func FuzzParse(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "refused.txt"))
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(golden)) {
		if text, err := strconv.Unquote(strings.TrimSpace(line)); err == nil {
			f.Add([]byte(text))
		}
	}
	f.Add([]byte(`{"a":[1,-2.5e+3,"\ud83d\ude00",null,{"K":true}],"b":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Parse(data, Limits{})
		if err != nil {
			var refusal *Error
			if !errors.As(err, &refusal) || refusal.Offset < 0 || refusal.Offset > len(data) || refusal.Line < 1 || refusal.Col < 1 {
				t.Fatalf("a bad error: %#v", err)
			}
			return
		}
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		var want any
		if err := decoder.Decode(&want); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", data, err)
		}
		if diff := cmp.Diff(want, jsonNumbers(got)); diff != "" {
			t.Fatalf("%q: %s", data, diff)
		}
		again, err := json.Marshal(jsonNumbers(got))
		if err != nil {
			t.Fatal(err)
		}
		got2, err := Parse(again, Limits{Bytes: 8 << 20})
		if err != nil {
			t.Fatalf("%q was written as %q: %v", data, again, err)
		}
		if diff := cmp.Diff(got, got2); diff != "" {
			t.Fatalf("%q was written as %q: %s", data, again, diff)
		}
	})
}

// jsonNumbers puts json.Number, which encoding/json writes as a number, in the
// place of each deputy.Number.
func jsonNumbers(value any) any {
	switch v := value.(type) {
	case deputy.Number:
		return json.Number(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = jsonNumbers(v[i])
		}
		return list
	case map[string]any:
		members := make(map[string]any, len(v))
		for name := range v {
			members[name] = jsonNumbers(v[name])
		}
		return members
	}
	return value
}

func BenchmarkParse(b *testing.B) {
	text := []byte(`{"unit":"nginx.service","task_ids":[1,2,3,4,5,6,7,8],"force":false,"note":"für Ärger \"hier\"","options":{"depth":3,"ratio":0.25}}`)
	b.Run("strictjson", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Parse(text, Limits{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding_json", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			decoder := json.NewDecoder(bytes.NewReader(text))
			decoder.UseNumber()
			var v any
			if err := decoder.Decode(&v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
