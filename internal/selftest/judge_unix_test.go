//go:build unix

package selftest

import (
	"fmt"
	"strings"
	"testing"

	"deputy"
)

// history is a run in which every promise was kept: two tasks, of which the
// second's exit code was lost.
func history() (*load, map[string]*deputy.Task, map[string]int, []deputy.Event) {
	code := 3
	l := &load{accepted: []asked{{"k1", 3, "t1"}, {"k2", 4, "t2"}}}
	ends := map[string]*deputy.Task{
		"t1": {State: deputy.Failed, Exit: &deputy.Exit{Code: &code}},
		"t2": {State: deputy.Unknown, Exit: &deputy.Exit{Unknown: "nobody was there"}},
	}
	accepted := func(seq uint64, id string) deputy.Event {
		return deputy.Event{Seq: seq, Type: deputy.Accepted, Caller: "uid:1", Rule: "m.toml:1", Policy: "d", Tasks: []deputy.TaskRecord{{ID: id}}}
	}
	events := []deputy.Event{
		accepted(1, "t1"), accepted(2, "t2"), {Seq: 3, Type: deputy.Started, Task: "t1"}, {Seq: 4, Type: deputy.Started, Task: "t2"},
		{Seq: 5, Type: deputy.Ended, Task: "t1"}, {Seq: 6, Type: deputy.Ended, Task: "t2"},
	}
	return l, ends, map[string]int{"t1 1": 1, "t2 1": 1}, events
}

// The judge says yes to what was kept, and finds each way in which it was not.
func TestJudge(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(ends map[string]*deputy.Task, starts map[string]int, events []deputy.Event)
		want  string // in the measured text of the one promise that was broken; empty: none was
	}{
		{"kept", func(map[string]*deputy.Task, map[string]int, []deputy.Event) {}, ""},
		{"started twice", func(_ map[string]*deputy.Task, starts map[string]int, _ []deputy.Event) { starts["t1 1"] = 2 },
			"task t1 1 was started 2 times"},
		{"two ends", func(_ map[string]*deputy.Task, _ map[string]int, events []deputy.Event) { events[5].Task = "t1" },
			"task t1 has 2 ends in the journal (and 1 more)"},
		{"a wrong code", func(ends map[string]*deputy.Task, _ map[string]int, _ []deputy.Event) { *ends["t1"].Exit.Code = 0 },
			"task t1 was to exit with 3, and is said to be failed"},
		{"an unknown end without its cause", func(ends map[string]*deputy.Task, _ map[string]int, _ []deputy.Event) { ends["t2"].Exit.Unknown = "" },
			"task t2 was to exit with 4, and is said to be unknown"},
		{"no record", func(_ map[string]*deputy.Task, starts map[string]int, _ []deputy.Event) { starts["t9 1"] = 1 },
			"task t9 ran, and no record says who asked"},
		{"no rule", func(_ map[string]*deputy.Task, _ map[string]int, events []deputy.Event) { events[1].Rule = "" },
			"the record of task t2 lacks who asked, or by which rule"},
		{"recorded too late", func(_ map[string]*deputy.Task, _ map[string]int, events []deputy.Event) { events[0].Seq = 9 },
			"task t1 was born before it was recorded"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, ends, starts, events := history()
			test.spoil(ends, starts, events)
			var broken []string
			for _, line := range []Line{twice(starts), exact(l, ends, events), recorded(starts, events)} {
				if !line.Kept {
					broken = append(broken, line.Measured)
				}
			}
			if got := strings.Join(broken, "; "); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Every byte of output has its place, in whatever pieces it comes.
func TestComparison(t *testing.T) {
	var whole strings.Builder
	for i := range 100 {
		fmt.Fprintf(&whole, "%09d\n", i+1)
	}
	text := whole.String()
	right := &comparison{}
	for _, part := range []string{text[:1], text[1:13], text[13:200]} {
		if n, err := right.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("%d bytes of %d, %v", n, len(part), err)
		}
	}
	right.Gap(200, 503)
	right.Write([]byte(text[503:]))
	if right.wrong != "" || right.at != 1000 || right.kept != 200+497 {
		t.Errorf("%+v", right)
	}
	wrong := &comparison{}
	wrong.Write([]byte(text[:50] + text[60:]))
	if !strings.Contains(wrong.wrong, "at byte 50 ") {
		t.Errorf("%+v", wrong)
	}
	rewritten := &comparison{}
	if rewritten.Rewritten(0); rewritten.wrong == "" {
		t.Error("a rewritten output is not noticed")
	}
}
