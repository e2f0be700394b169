package state

import (
	"deputy"
	"encoding/json"
	"slices"
	"testing"
)

// Who joined, and for whom, is known from the journal, from a checkpoint, and from
// one of a version that knew the callers alone; what it costs is counted.
func TestWhoJoined(t *testing.T) {
	s := New()
	acceptLocked(t, s, false, "1", "l", "l")
	alone := s.bytes
	joined := func(caller deputy.Caller, endUser string) *deputy.Event {
		return &deputy.Event{Type: deputy.Accepted, Caller: caller, EndUser: endUser, Tasks: []deputy.TaskRecord{{ID: "1", Joined: true}}}
	}
	want := []deputy.Party{{Caller: "uid:2", EndUser: "bob"}, {Caller: "uid:2"}, {Caller: "uid:3"}}
	for _, p := range append(want, want[0]) {
		if err := s.Apply(joined(p.Caller, p.EndUser)); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string, s *State, want []deputy.Party) {
		t.Helper()
		if got := s.Tasks["1"].Joined; !slices.Equal(got, want) || s.count["uid:2"].Joins != 2 || s.bytes <= alone {
			t.Errorf("%s: joined by %v, counted %v, %d bytes", what, got, s.count, s.bytes)
		}
	}
	check("the journal", s, want)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	again := New()
	if err := again.restore(text); err != nil {
		t.Fatal(err)
	}
	if check("a checkpoint", again, want); again.bytes != s.bytes {
		t.Errorf("%d bytes, and %d from a checkpoint", s.bytes, again.bytes)
	}
	again.Cancel(joined("uid:3", ""))
	check("taken back", again, want[:2])
	again.remove("1")
	if len(again.count) != 0 || again.bytes != 0 {
		t.Errorf("after its end it costs %v, %d bytes", again.count, again.bytes)
	}
	var old Task
	if err := json.Unmarshal([]byte(`{"id":"1","joined":["uid:2","key:panel"]}`), &old); err != nil || !slices.Equal(old.Joined, []deputy.Party{{Caller: "uid:2"}, {Caller: "key:panel"}}) {
		t.Errorf("of an earlier version: %v, %v", old.Joined, err)
	}
}
