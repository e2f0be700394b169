package main

import (
	"bytes"
	"strings"
	"testing"

	"deputy"
)

// A progress line never touches the output: with what draws and erases it
// taken away, the bytes are the task's.
func TestProgressLineStandsBelow(t *testing.T) {
	var tty bytes.Buffer
	s := &screen{a: &app{out: &tty, err: &tty, outTerm: true, errTerm: true, width: 40}}
	s.setBar("[bar]")
	s.write(&tty, []byte("one\n"))
	s.write(&tty, []byte("half"))
	s.setBar("[bar2]")
	s.write(&tty, []byte(" line\n"))
	s.setBar("")
	want := "[bar]" + "\r\x1b[J" + "one\n" + "[bar]" + "\r\x1b[J" + "half" + " line\n" + "[bar2]" + "\r\x1b[J"
	if tty.String() != want {
		t.Errorf("got  %q\nwant %q", tty.String(), want)
	}
}

func TestProgressBar(t *testing.T) {
	s := &screen{a: &app{width: 40}}
	tests := []struct {
		p    *deputy.Progress
		want string
	}{
		{nil, ""},
		{&deputy.Progress{Percent: ptr(50.0), Message: ptr("half\nway")}, "[############------------] 50% half way"},
		{&deputy.Progress{Percent: ptr(900.0)}, "[########################] 900%"},
		{&deputy.Progress{Message: ptr(strings.Repeat("x", 50))}, strings.Repeat("x", 38) + "…"},
	}
	for _, test := range tests {
		if got := s.progressBar(test.p); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestLineSink(t *testing.T) {
	var out bytes.Buffer
	s := &screen{a: &app{out: &out, err: &out}}
	l := s.sink(id(1), "stdout", &out, true)
	long := strings.Repeat("y", maxLine+10)
	for _, part := range []string{"a", "b\n\nc", "\r\n", long, "\nend"} {
		if _, err := l.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.finish(); err != nil {
		t.Fatal(err)
	}
	want := []string{"ab", "", "c\r", strings.Repeat("y", maxLine), strings.Repeat("y", 10), "end"}
	if got := out.String(); got != "00000001 | "+strings.Join(want, "\n00000001 | ")+"\n" {
		t.Errorf("got %.200q", got)
	}
}

// A character that two answers share is not broken.
func TestJSONSinkKeepsCharactersWhole(t *testing.T) {
	var out bytes.Buffer
	s := &screen{a: &app{out: &out, err: &out, json: true}}
	j := s.sink("t", "stdout", &out, false)
	for _, b := range []byte("aü€😀\xf0") {
		if _, err := j.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Gap(11, 20); err != nil {
		t.Fatal(err)
	}
	j.Write([]byte("z"))
	want := `{"task":"t","stream":"stdout","offset":0,"text":"a"}
{"task":"t","stream":"stdout","offset":1,"text":"ü"}
{"task":"t","stream":"stdout","offset":3,"text":"€"}
{"task":"t","stream":"stdout","offset":6,"text":"😀"}
{"task":"t","stream":"stdout","offset":10,"text":"` + "\uFFFD" + `"}
{"task":"t","stream":"stdout","gap":[11,20]}
{"task":"t","stream":"stdout","offset":20,"text":"z"}
`
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}

func TestTailFindsLines(t *testing.T) {
	tests := []struct {
		text  string
		n     int
		at    int64
		whole bool
	}{
		{"a\nb\nc\n", 1, 4, true},
		{"a\nb\nc", 2, 2, true},
		{"a\nb\n", 2, 0, false}, // the first line may have begun before
		{"a\nb\n", 0, 4, true},
		{"", 3, 0, false},
		{"\n\n\n", 2, 1, true},
	}
	for _, test := range tests {
		tail := &tail{text: []byte(test.text)}
		if at, whole := tail.lines(test.n); at != test.at || whole != test.whole {
			t.Errorf("%q, %d: got %d %v", test.text, test.n, at, whole)
		}
	}
}
