package schema

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestOracle holds Check against an independent validator that is given
// JSONSchema: for random params and values both must say the same. Only cidr,
// host, port (of strings), email and hostname are left out, and integers beyond
// 64 bits: JSON Schema has no such words, or takes more by them ("127.1" is a
// hostname to it).
func TestOracle(t *testing.T) {
	const rounds, values = 800, 20
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	accepted, refused := 0, 0
	for range rounds {
		p := valid(t, randomParam(r, 2))
		oracle := compile(t, p)
		for range values {
			text := randomJSON(r, p)
			instance, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			want := oracle.Validate(instance)
			_, got := p.Check(decode(t, text))
			if (got == nil) != (want == nil) {
				declared, _ := json.Marshal(p.JSONSchema())
				t.Fatalf("seed %d: %s against\n%s\n\tCheck: %v\n\toracle: %v", seed, text, declared, got, want)
			}
			if got == nil {
				accepted++
			} else {
				refused++
			}
		}
	}
	if total := rounds * values; accepted < total/10 || refused < total/10 {
		t.Errorf("%d accepted, %d refused: the values prove little", accepted, refused)
	}
}

func compile(t *testing.T, p *Param) *jsonschema.Schema {
	t.Helper()
	text, err := json.Marshal(p.JSONSchema())
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("p.json", document); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("p.json")
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

func decode(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// randomParam makes a sane declaration; parts go depth levels down.
func randomParam(r *rand.Rand, depth int) *Param {
	types := []string{"string", "integer", "number", "boolean"}
	if depth > 0 {
		types = append(types, "array", "array")
	}
	p := &Param{Type: pick(r, types...)}
	some := func() bool { return r.IntN(3) == 0 }
	switch p.Type {
	case "string":
		switch {
		case some():
			p.Enum = []any{"a", "b\u00e4", ""}
		case some():
			p.Const = "a"
		case some():
			p.Formats = []string{pick(r, "ipv4", "ipv6", "uuid", "date-time", "duration", "bytes", "path")}
			if p.Formats[0] == "path" {
				p.Under = "/s.v"
			}
		default:
			p.Multiline = some()
			if some() {
				p.Pattern = regexp.MustCompile(pick(r, `^[a-z]*$`, `^(?:a|b)$`, `^.{1,2}$`, `^[^x]*$`))
			}
			if some() {
				p.MinLength = new(r.IntN(3))
			}
			if some() {
				p.MaxLength = new(2 + r.IntN(3))
			}
		}
	case "integer", "number":
		if p.Type == "integer" && some() {
			p.Formats = []string{"port"}
		}
		if some() {
			p.Minimum = int64(r.IntN(5) - 3)
		}
		if some() {
			p.Maximum = int64(r.IntN(5) + 2)
		}
		if some() && p.Minimum == nil && p.Maximum == nil && p.Formats == nil {
			p.Enum = []any{int64(1), int64(2), int64(100)}
		}
	case "array":
		p.Items = randomParam(r, depth-1)
		if some() {
			p.Items = &Param{Type: "object", Properties: map[string]*Param{}}
			for i := range 1 + r.IntN(2) {
				member := randomParam(r, depth-1)
				member.Optional = some()
				p.Items.Properties[fmt.Sprintf("m%d", i)] = member
			}
		}
		p.Unique = some()
		if some() {
			p.MinItems = new(r.IntN(2))
		}
		if some() {
			p.MaxItems = new(1 + r.IntN(3))
		}
	}
	if p.Pattern != nil && !anchored(p.Pattern) {
		p.Pattern = nil
	}
	return p
}

// randomJSON writes a value that often fits p.
func randomJSON(r *rand.Rand, p *Param) string {
	kind := p.Type
	if r.IntN(6) == 0 {
		kind = pick(r, "string", "integer", "boolean", "null", "list", "map")
	}
	switch kind {
	case "string":
		return pick(r, `"a"`, `"b\u00e4"`, `""`, `"abc"`, `"x"`, `"\n"`, `"a\u0000"`, `"a\u0085"`, `"\u2028"`, `"\ud83d\ude00\ud83d\ude00"`, `"1.2.3.4"`, `"::1"`,
			`"0190c0de-aaaa-7bbb-8ccc-0123456789ab"`, `"2006-01-02T15:04:05Z"`, `"90s"`, `"PT5S"`, `"8MiB"`, `"h.example"`, `"/s.v/a"`, `"/sxv/a"`)
	case "integer", "number":
		return pick(r, "0", "1", "2", "-3", "1.0", "1e2", "-0", "1.5", "0.1", "65535", "65536", "100", "9223372036854775807", "-9223372036854775808")
	case "boolean":
		return pick(r, "true", "false")
	case "array":
		var items []string
		for range r.IntN(4) {
			items = append(items, randomJSON(r, p.Items))
		}
		return "[" + strings.Join(items, ",") + "]"
	case "object":
		var members []string
		for _, name := range sortedNames(p.Properties) {
			if r.IntN(5) > 0 {
				members = append(members, fmt.Sprintf("%q:%s", name, randomJSON(r, p.Properties[name])))
			}
		}
		if r.IntN(6) == 0 {
			members = append(members, `"more":1`)
		}
		return "{" + strings.Join(members, ",") + "}"
	case "list":
		return "[]"
	case "map":
		return `{"x":1}`
	}
	return "null"
}
