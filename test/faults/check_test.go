//go:build linux

package faults

import (
	"strings"
	"testing"
	"time"

	"deputy"
)

const second = int64(time.Second)

func at(n int64) deputy.Time { return deputy.Time{Time: time.Unix(n, 0).UTC()} }

// good is a record in which every promise is kept: task a is asked for with a
// key at 10, runs and exits with 7 at 13; b is stopped at 22 before its end.
func good() *record {
	seven, lock := 7, "1"
	zero, empty := 0, &deputy.Receipt{Signalled: true, Empty: true, Proof: "cgroup"}
	failed, stopped := "it exited with code 7", "stopped by uid:1"
	r := &record{
		requests: []request{
			{Sent: 10 * second, Answered: 11 * second, Caller: "uid:1", Call: "call f/rerun", Key: "k", FirstSent: 10 * second, Status: 202, Tasks: []string{"a"}},
			{Sent: 14 * second, Answered: 14 * second, Caller: "uid:1", Call: "call f/rerun", Key: "k", FirstSent: 10 * second, Status: 202, Tasks: []string{"a"}, Replayed: true},
			{Sent: 20 * second, Answered: 20 * second, Caller: "uid:1", Call: "call f/plain", FirstSent: 20 * second, Status: 202, Tasks: []string{"b"}},
			{Sent: 22 * second, Answered: 23 * second, Caller: "uid:1", Call: "stop b", Status: 200, Tasks: []string{"b"}, State: deputy.Stopped},
		},
		acts: []act{
			{What: "start", Task: "a", Attempt: 1, PID: 5, At: 12 * second},
			{What: "end", Task: "a", Attempt: 1, PID: 5, At: 13 * second, How: "code:7", Bytes: 3},
			{What: "start", Task: "b", Attempt: 1, PID: 6, At: 21 * second},
		},
		journal: []deputy.Event{
			{Seq: 1, Time: at(11), Type: deputy.Accepted, Caller: "uid:1", Module: "f", Action: "rerun",
				Key: &deputy.Idempotency{Key: "k"}, Tasks: []deputy.TaskRecord{{ID: "a", Lock: &lock}}},
			{Seq: 2, Time: at(12), Type: deputy.Started, Task: "a", Attempt: 1, PID: 5},
			{Seq: 3, Time: at(13), Type: deputy.Ended, Task: "a", Attempt: 1, State: deputy.Failed, Reason: failed,
				Exit: &deputy.Exit{Code: &seven}, Out: &deputy.Output{Bytes: 3}, Err: &deputy.Output{}},
			{Seq: 4, Time: at(20), Type: deputy.Accepted, Caller: "uid:1", Module: "f", Action: "plain", Tasks: []deputy.TaskRecord{{ID: "b"}}},
			{Seq: 5, Time: at(21), Type: deputy.Started, Task: "b", Attempt: 1, PID: 6},
			{Seq: 6, Time: at(22), Type: deputy.StopRequested, Task: "b", Caller: "uid:1", State: deputy.Stopped, Reason: stopped},
			{Seq: 7, Time: at(23), Type: deputy.Ended, Task: "b", Attempt: 1, State: deputy.Stopped, Reason: stopped,
				Exit: &deputy.Exit{Signal: "SIGTERM"}, Receipt: empty, Out: &deputy.Output{}, Err: &deputy.Output{}},
		},
	}
	started := []deputy.Time{at(12), at(21)}
	ended := []deputy.Time{at(13), at(23)}
	r.tasks = []deputy.Task{
		{ID: "b", Module: "f", Action: "plain", Caller: "uid:1", State: deputy.Stopped, Reason: &stopped, Created: at(20), Started: &started[1],
			Ended: &ended[1], Attempt: 1, Exit: &deputy.Exit{Signal: "SIGTERM"}, Stop: empty, Leftover: &zero},
		{ID: "a", Module: "f", Action: "rerun", Lock: &lock, Caller: "uid:1", State: deputy.Failed, Reason: &failed, Created: at(11), Started: &started[0],
			Ended: &ended[0], Attempt: 1, Exit: &deputy.Exit{Code: &seven}, Leftover: &zero, StdoutBytes: 3},
	}
	return r
}

// attempted gives each task of the history the one attempt that its other members tell of.
func (r *record) attempted() *record {
	for i := range r.tasks {
		t := &r.tasks[i]
		t.Attempts = []deputy.Attempt{{Attempt: t.Attempt, Started: t.Started, Ended: t.Ended, Exit: t.Exit, Reason: t.Reason,
			Stdout: [2]int64{0, t.StdoutBytes}, Stderr: [2]int64{0, t.StderrBytes}}}
	}
	return r
}

func TestAGoodRecordHasNoBreach(t *testing.T) {
	if found := good().attempted().check(); len(found) > 0 {
		t.Errorf("%+v", found)
	}
}

// Each promise is broken once, and the judge must say so.
func TestEveryBreachIsFound(t *testing.T) {
	eight := 8
	unknown := func(r *record, from, to int64) {
		r.journal[2].Exit, r.journal[2].State, r.journal[2].Reason = &deputy.Exit{Unknown: "nobody told"}, deputy.Unknown, "nobody told"
		r.tasks[1].Exit, r.tasks[1].State, r.tasks[1].Reason = r.journal[2].Exit, deputy.Unknown, &r.journal[2].Reason
		r.faults = []fault{{What: "SIGKILL of all", From: from * second, To: to * second, Orphaned: true}}
	}
	for name, c := range map[string]struct {
		want  string // the promise, and what stands in the finding; "": none
		spoil func(*record)
	}{
		"an acknowledged task is not there":   {"1: a: with a task that the journal does not have", func(r *record) { r.journal = r.journal[3:] }},
		"a key's answer is not the journal's": {"1: k: the journal has [a]", func(r *record) { r.requests[0].Tasks = []string{"b"} }},
		"started twice":                       {"2: a: it started 2 times", func(r *record) { r.acts = append(r.acts, r.acts[0]) }},
		"started twice by the journal":        {"2: a: has 2", func(r *record) { r.journal = append(r.journal, r.journal[1]) }},
		"no end":                              {"3: b: it has 0", func(r *record) { r.journal = r.journal[:6] }},
		"two ends":                            {"3: b: it has 2", func(r *record) { r.journal = append(r.journal, r.journal[6]) }},
		"a wrong code":                        {"3: a: it ended with code:7, the journal says code:8", func(r *record) { r.journal[2].Exit.Code = &eight }},
		"no exit":                             {"3: a: the journal says none", func(r *record) { r.journal[2].Exit = nil }},
		"a kill that nobody asked for":        {"3: a: the journal says signal:9", func(r *record) { r.journal[2].Exit = &deputy.Exit{Signal: "SIGKILL"} }},
		"an end of what never came to it":     {"3: a: it never came to its end", func(r *record) { r.acts = append(r.acts[:1], r.acts[2]) }},
		"an end of what never began":          {"3: a: it never began", func(r *record) { r.acts = r.acts[2:] }},
		"a wrong state":                       {"3: a: it is succeeded", func(r *record) { r.journal[2].State = deputy.Succeeded }},
		"a stop that is forgotten":            {"3: b: want stopped", func(r *record) { r.journal[6].State = deputy.Failed }},
		"unknown, though a keeper lived":      {"3: a: it is unknown", func(r *record) { unknown(r, 1, 2) }},
		"unknown, for no keeper lived":        {"", func(r *record) { unknown(r, 13, 14) }},
		"unknown, for two monitors died, one before PID 1 took it": {"", func(r *record) {
			unknown(r, 11, 12)
			r.faults = append(r.faults, fault{What: "SIGKILL of the monitor", From: 14 * second, To: 15 * second, Monitor: true})
		}},
		"unknown, though a monitor alone died": {"3: a: it is unknown", func(r *record) {
			unknown(r, 1, 2)
			r.faults = append(r.faults, fault{What: "SIGKILL of the monitor", From: 13 * second, To: 15 * second, Monitor: true})
		}},
		"unknown, and it had ended long before": {"3: a: it is unknown", func(r *record) { unknown(r, 15, 16); r.journal[2].Time = at(16) }},
		"unknown without a cause":               {"3: a: it has none", func(r *record) { unknown(r, 13, 14); r.journal[2].Reason = "" }},
		"a stop without proof":                  {"4: b: without a receipt", func(r *record) { r.journal[6].Receipt = nil }},
		"a process outlives the end":            {"4: b: [9]", func(r *record) { r.requests[3].Lived = []int{9} }},
		"a task acts after its end":             {"4: a: it acted (end) 1000 ms after", func(r *record) { r.acts[1].At += second }},
		"two tasks hold a lock":                 {"5: a: lock 1", func(r *record) { r.acts = append(r.acts, act{What: "clash", Task: "a", At: 12 * second, How: "1"}) }},
		"a key gives other tasks":               {"5: k: then [b]", func(r *record) { r.requests[1].Tasks = []string{"b"} }},
		"a key is accepted twice":               {"5: k: accepts it again", func(r *record) { r.journal[3].Key = r.journal[0].Key }},
		"a rerun began before it was asked for": {"5: a: it began", func(r *record) { r.requests[0].FirstSent = 12*second + 1 }},
		"a join of what has ended": {"5: a: joins it after its end", func(r *record) {
			r.journal[3].Tasks = append(r.journal[3].Tasks, deputy.TaskRecord{ID: "a", Joined: true})
		}},
		"a queue is too wide": {"5: b: 3 tasks of a queue of 2", func(r *record) {
			r.journal[3].Action = "narrow"
			r.journal[3].Tasks = append(r.journal[3].Tasks, deputy.TaskRecord{ID: "c"}, deputy.TaskRecord{ID: "d"})
		}},
		"output is missing":                 {"6: a: it wrote 3 bytes", func(r *record) { r.journal[2].Out.Bytes = 2 }},
		"it ran before it was accepted":     {"7: a: it ran before", func(r *record) { r.acts[0].At = 10 * second }},
		"it ran without a record":           {"7: c: it ran", func(r *record) { r.acts = append(r.acts, act{What: "start", Task: "c", Attempt: 1}) }},
		"it waited and ran without intent":  {"7: a: without an intent", func(r *record) { r.journal[0].Tasks[0].Queued = true }},
		"a record of what was not accepted": {"7: c: never accepted", func(r *record) { r.journal[1].Task = "c" }},
		"the history lacks a task":          {"the history: b: it is not listed", func(r *record) { r.tasks = r.tasks[1:] }},
		"the history has one too many":      {"the history: c: the journal does not have it", func(r *record) { r.tasks = append(r.tasks, deputy.Task{ID: "c"}) }},
		"the history has another order":     {"the history: a: it stands where b should", func(r *record) { r.tasks[0], r.tasks[1] = r.tasks[1], r.tasks[0] }},
		"the history differs":               {"the history: a: -journal +history", func(r *record) { r.tasks[1].Attempt = 2 }},
		"a connection is refused":           {"while: : one was", func(r *record) { r.refused = []int64{15 * second} }},
		"a connection is refused, and may":  {"", func(r *record) { r.refused = []int64{15 * second}; unknown(r, 13, 16) }},
	} {
		t.Run(name, func(t *testing.T) {
			r := good()
			c.spoil(r)
			found := r.attempted().check()
			if c.want == "" {
				if len(found) > 0 {
					t.Errorf("found: %+v", found)
				}
				return
			}
			part := strings.SplitN(c.want, ": ", 3)
			for _, b := range found {
				if strings.HasPrefix(b.Promise, part[0]) && b.Task+b.Key == part[1] && strings.Contains(b.What, part[2]) {
					if b.Task+b.Key != "" && r.excerpt(b) == "" {
						t.Errorf("there is no excerpt of %+v", b)
					}
					return
				}
			}
			t.Errorf("%s is not found, but: %+v", c.want, found)
		})
	}
}

func TestReadActs(t *testing.T) {
	got, err := readActs(strings.NewReader("start a 1 5 12\nclash a 1 5 13 3\nend a 1 5 14 signal:9 77\n"))
	if err != nil || len(got) != 3 || got[1].How != "3" || got[2] != (act{What: "end", Task: "a", Attempt: 1, PID: 5, At: 14, How: "signal:9", Bytes: 77}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"start a 1 5", "end a 1 5 14", "end a 1 5 14 code:1 x", "clash a 1 5 13"} {
		if got, err := readActs(strings.NewReader(bad + "\n")); err == nil {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}
