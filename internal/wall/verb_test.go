//go:build linux

package wall

import (
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"deputy"
)

var update = flag.Bool("update", false, "write testdata/frames.txt anew")

// Monitor and server of one version speak of the same bytes: each line is a request of
// requests() as the wall carries it. Whoever changes one changes Version, too.
func TestTheBytesOfEachRequestStay(t *testing.T) {
	const path = "testdata/frames.txt"
	var b strings.Builder
	for _, r := range requests() {
		frame, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(r.Kind.String() + " " + hex.EncodeToString(frame) + "\n")
	}
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(b.String(), "\n")
	for i, line := range strings.Split(string(want), "\n") {
		if i >= len(got) || got[i] != line {
			t.Errorf("line %d: %s, want %s", i+1, got[min(i, len(got)-1)], line)
		}
	}
}

// A verb is its row: the codec knows no other of it.
func TestAVerbIsItsRow(t *testing.T) {
	pause := Verb{Name: "pause", Access: Operator, fields: []field{id, connection, module, action, on}}
	want := Request{Kind: 99, ID: 1, Connection: 2, Module: "m", Action: "a", On: true}
	frame, err := want.encode(&pause)
	if err != nil {
		t.Fatal(err)
	}
	read := func(verb *Verb) (Request, error) {
		d, got := decoder{b: frame[5:]}, Request{Kind: Kind(frame[4])}
		d.whole(&got, verb)
		return got, d.err
	}
	if got, err := read(&pause); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	pause.Access = undeclared
	if _, err := read(&pause); !errors.Is(err, ErrBroken) {
		t.Errorf("without an access: %v", err)
	}
	if _, err := want.Encode(); err == nil {
		t.Error("a kind without a row was encoded")
	}
}

func TestEveryKindThatTheServerSendsHasItsRow(t *testing.T) {
	rows := Verbs()
	if len(rows) != len(verbs)-1 { // there is no kind 0
		t.Errorf("%d of %d rows have a name", len(rows), len(verbs)-1)
	}
	for kind, verb := range rows {
		if verb.Access == undeclared {
			t.Errorf("%s has no access", verb.Name)
		}
		for i, f := range verb.fields {
			switch new(Request).member(f).(type) {
			case nil:
				t.Errorf("field %d of %s is no member of a request", i, verb.Name)
			case *string, *Transport, *[]byte, *[]string:
				if int(f) >= len(limits) || limits[f] == 0 {
					t.Errorf("field %d of %s has no limit", i, verb.Name)
				}
			case *deputy.Params:
				if i != len(verb.fields)-1 {
					t.Errorf("behind the values of %s nothing can stand", verb.Name)
				}
			}
		}
		if kind.String() != verb.Name || kind.Access() != verb.Access || kind.Reads() != verb.Reads {
			t.Errorf("%s: its kind says something else of it", verb.Name)
		}
	}
	for _, kind := range []Kind{0, Kind(len(verbs)), AnswerKind, 255} {
		if kind.String() != "" || kind.Access() != undeclared {
			t.Errorf("kind %d has a row", kind)
		}
	}
}

func benchmarked() *Request {
	return &Request{Kind: Call, ID: 1, Connection: 2, Module: "service", Action: "restart",
		Params: deputy.Params{"unit": "nginx.service"}}
}

func BenchmarkEncodeCall(b *testing.B) {
	r := benchmarked()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeCall(b *testing.B) {
	frame, err := benchmarked().Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeFields(frame[4:]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeSigned(b *testing.B) {
	r := Request{Kind: Signed, ID: 13, Transport: HTTP, Authorization: strings.Repeat("a", 180), Method: "POST", Target: "/v1/actions/service/restart", Key: "k", EndUser: "e", Body: make([]byte, 1<<10)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeSigned(b *testing.B) {
	r := Request{Kind: Signed, ID: 13, Transport: HTTP, Authorization: strings.Repeat("a", 180), Method: "POST", Target: "/v1/actions/service/restart", Key: "k", EndUser: "e", Body: make([]byte, 1<<10)}
	frame, err := r.Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeFields(frame[4:]); err != nil {
			b.Fatal(err)
		}
	}
}
