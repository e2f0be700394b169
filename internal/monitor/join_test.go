package monitor

import (
	"encoding/json"
	"slices"
	"testing"

	"deputy"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/policy"
)

// A task that was sealed by an earlier version is joined by the same party with the
// same values, too.
func TestSealsOfAnEarlierVersion(t *testing.T) {
	m := &Monitor{seal: func(text string) string { return "sealed " + text }}
	ask := func(caller deputy.Caller, pin string) (*admission, *policy.Item) {
		return &admission{m: m, id: policy.Identity{Caller: caller}, plan: &policy.Plan{Action: &manifest.Action{Name: "a"}}},
			&policy.Item{Params: map[string]any{"who": "x"}, Secrets: map[string]any{"pin": pin}}
	}
	for name, seal := range map[string]string{"earlier": m.seal("1234"), "now": m.sealer("t")("pin", "1234")} {
		task := &Task{ID: "t", LiveTask: deputy.LiveTask{Action: "a", Caller: "uid:1", Params: deputy.Params{"who": "x", "pin": seal}}, Run: Run{Secret: true}}
		for _, c := range []struct {
			caller deputy.Caller
			pin    string
			want   bool
		}{{"uid:1", "1234", true}, {"uid:1", "1235", false}, {"uid:2", "1234", false}} {
			if a, item := ask(c.caller, c.pin); a.same(item, task) != c.want {
				t.Errorf("%s: %s with %s joins: %v", name, c.caller, c.pin, !c.want)
			}
		}
	}
}

// Who joined, and for whom, is known from the journal, from a checkpoint, and from
// one of a version that knew the callers alone; what it costs is counted.
func TestWhoJoined(t *testing.T) {
	s := newState()
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
		if got := s.Tasks["1"].Joined; !slices.Equal(got, want) || s.count["uid:2"].joins != 2 || s.bytes <= alone {
			t.Errorf("%s: joined by %v, counted %v, %d bytes", what, got, s.count, s.bytes)
		}
	}
	check("the journal", s, want)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	again := newState()
	if err := again.restore(text); err != nil {
		t.Fatal(err)
	}
	if check("a checkpoint", again, want); again.bytes != s.bytes {
		t.Errorf("%d bytes, and %d from a checkpoint", s.bytes, again.bytes)
	}
	again.cancel(joined("uid:3", ""))
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
