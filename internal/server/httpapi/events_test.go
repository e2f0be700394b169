//go:build linux

package httpapi_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"deputy"
)

func TestEvents(t *testing.T) {
	r := start(t)
	mine := r.Accept("uid:33", "demo", "echo", deputy.Params{"n": deputy.Number("12345678901234567890")}) // 1
	theirs := r.Accept("uid:34", "demo", "echo", nil)                                                     // 2
	shown := r.Accept("uid:34", "demo", "echo", deputy.Params{"target": "shown"})                         // 3
	r.Start(mine)                                                                                         // 4
	r.Start(theirs)                                                                                       // 5
	r.Join(theirs, "uid:33", "demo", "echo")                                                              // 6
	r.Record(deputy.Event{Type: deputy.Denied, Caller: "uid:33", Reason: "no rule"})                      // 7
	r.Record(deputy.Event{Type: deputy.PolicyLoaded, Policy: "d"})                                        // 8
	r.End(theirs, deputy.Succeeded)                                                                       // 9
	r.Record(deputy.Event{Type: deputy.OutputRemoved, IDs: []string{theirs, shown, mine}})                // 10
	r.Record(deputy.Event{Type: deputy.Accepted, Caller: "uid:34", Module: "demo", Action: "echo",        // 11
		Tasks: []deputy.TaskRecord{{ID: mine, Joined: true}, {ID: shown, Joined: true}}})
	r.End(mine, deputy.Failed)  // 12
	r.End(shown, deputy.Failed) // 13

	for uid, want := range map[uint32][]string{
		panel:    {"1", "4", "5", "6", "9", "10", "11", "12"}, // it joined 2's task, and 34 joined 1's: neither sees who had asked
		other:    {"2", "3", "4", "5", "6", "9", "10", "11", "12", "13"},
		reader:   {"3", "10", "11", "13"},
		root:     {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13"},
		stranger: {},
	} {
		r.Record(deputy.Event{Type: deputy.Accepted, Caller: deputy.UIDCaller(uid), Module: "demo", Action: "echo"}) // the last, seen by all
		stream := r.events(uid, "/v1/events", "0")
		got := []string{}
		for {
			id, data := stream.next()
			var e deputy.Event
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				t.Fatal(err)
			}
			if e.Seq > 13 {
				if e.Caller != deputy.UIDCaller(uid) {
					continue // auditors see those of the others, too
				}
				break
			}
			got = append(got, id)
			if stream.kind != string(e.Type) || strings.Contains(data, `"prev"`) {
				t.Errorf("%s %s: %s", stream.kind, id, data)
			}
			if uid != root && (e.Rule != "" || e.Policy != "" || strings.Contains(data, "secret") || e.Key != nil && e.Caller != deputy.UIDCaller(uid)) {
				t.Errorf("uid %d is told too much: %s", uid, data)
			}
			if uid == root && e.Type == deputy.Accepted && e.Seq <= 3 && (e.Rule == "" || e.Key == nil) {
				t.Errorf("an auditor is told too little: %s", data)
			}
			switch {
			case e.Seq == 1 && !strings.Contains(data, `"n":12345678901234567890`):
				t.Errorf("a number has changed: %s", data)
			case e.Seq == 10 && uid == panel && !slices.Equal(e.IDs, []string{mine}),
				e.Seq == 10 && uid == reader && !slices.Equal(e.IDs, []string{shown}),
				e.Seq == 11 && uid == panel && (len(e.Tasks) != 1 || e.Tasks[0].ID != mine),
				e.Seq == 11 && uid == other && len(e.Tasks) != 2,
				e.Seq == 5 && uid == panel && (e.PID != 0 || e.Leaf != ""),
				e.Seq == 9 && uid == panel && (e.State != deputy.Succeeded || e.Exit == nil || e.Out != nil):
				t.Errorf("uid %d: %s", uid, data)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("uid %d sees %v, want %v", uid, got, want)
		}
	}

	// A number that is no more: the journal was restored.
	if got := r.raw(panel, finish("GET /v1/events\nLast-Event-ID: 1000")); !strings.HasPrefix(got, "400 ") || !strings.Contains(got, "begin anew") {
		t.Errorf("after a record that is not there: %s", got)
	}

	// Without Last-Event-ID only what is to come; with it, what is behind.
	stream := r.events(panel, "/v1/events", "")
	next := r.Accept("uid:33", "demo", "echo", nil)
	id, data := stream.next()
	if !strings.Contains(data, next) {
		t.Errorf("%s %s", id, data)
	}
	r.Start(next)
	if _, data := stream.next(); !strings.Contains(data, `"type":"started"`) {
		t.Errorf("%s", data)
	}
	if _, data := r.events(panel, "/v1/events", id).next(); !strings.Contains(data, `"type":"started"`) {
		t.Errorf("resumed: %s", data)
	}
}
