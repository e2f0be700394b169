package asker

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"deputy"
	"deputy/internal/wall"
)

// monitor answers with the rights and actions of a test, and keeps what it was asked.
type monitor struct {
	asked  []wall.Request
	rights deputy.Rights
	err    error
}

func (m *monitor) Do(_ context.Context, r wall.Request) (wall.Outcome, error) {
	m.asked = append(m.asked, r)
	rights := m.rights
	return wall.Outcome{Rights: &rights, Actions: []deputy.ActionInfo{{Module: "m", Action: "a", MaxBody: 7}}}, m.err
}

type tasks map[string]deputy.Task

func (t tasks) Task(_ context.Context, id string) (deputy.Task, bool, error) {
	task, found := t[id]
	return task, found, nil
}

func TestRightsAreAskedForOnceForEachEndUserAndPolicy(t *testing.T) {
	m := &monitor{}
	askers := New(m, nil, &wall.Greeting{})
	s := askers.Local(wall.Connection{Number: 9, UID: 5})
	ask := func(endUser string) {
		a := s.Begin()
		a.EndUser = endUser
		if _, err := a.Rights(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.End()
	}
	ask("")
	ask("")
	ask("alice")
	askers.PolicyChanged("another")
	ask("alice")
	want := []wall.Request{
		{Kind: wall.Rights, Connection: 9}, {Kind: wall.Rights, Connection: 9, EndUser: "alice"}, {Kind: wall.Rights, Connection: 9, EndUser: "alice"},
	}
	if !reflect.DeepEqual(m.asked, want) || askers.Policy() != "another" {
		t.Errorf("asked %+v", m.asked)
	}
}

func TestAMaxBodyThatWasToldIsNotAskedForAgain(t *testing.T) {
	m := &monitor{}
	askers := New(m, nil, &wall.Greeting{})
	for range 3 { // connections
		a := askers.Local(wall.Connection{UID: 5}).Begin()
		if n, err := a.MaxBody(t.Context(), "m", "a", 3); n != 7 || err != nil {
			t.Errorf("of what it may use: %d, %v", n, err)
		}
	}
	a := askers.Local(wall.Connection{UID: 6}).Begin()
	if n, err := a.MaxBody(t.Context(), "m", "other", 3); n != 3 || err != nil {
		t.Errorf("of what it may not use: %d, %v", n, err)
	}
	if len(m.asked) != 2 {
		t.Errorf("asked %d times", len(m.asked))
	}
}

func TestASignatureIsGoodOnce(t *testing.T) {
	m := &monitor{rights: deputy.Rights{Caller: "key:k"}}
	askers := New(m, nil, &wall.Greeting{Connections: 1})
	s := askers.Network(address(t, "192.0.2.1:5"))
	a := s.Begin()
	if _, err := a.Rights(t.Context()); err == nil || a.Caller() != "" {
		t.Error("rights are known before it was verified")
	}
	signed := wall.Request{Kind: wall.Signed, Target: "/v1/tasks"}
	a.Sign(signed)
	if err := a.Identify(t.Context()); err != nil || a.Caller() != "key:k" || !reflect.DeepEqual(m.asked, []wall.Request{signed}) {
		t.Fatalf("%v, %s, asked %+v", err, a.Caller(), m.asked)
	}
	if _, err := a.Ask(t.Context(), wall.Request{Kind: wall.Stop}); err == nil || len(m.asked) != 1 {
		t.Error("it was used twice")
	}
	other := askers.Network(address(t, "192.0.2.2:5")).Begin()
	if other.Claim("key:k") == nil || other.Claim("key:other") != nil {
		t.Error("the request that is being answered does not count, or counts for another")
	}
	askers.PolicyChanged("another")
	if _, err := a.Rights(t.Context()); !errors.Is(err, ErrPolicyChanged) {
		t.Errorf("under another policy: %v", err)
	}
	a.End()
	next := s.Begin()
	if other.Claim("key:k") != nil || next.Caller() != "" {
		t.Error("the end of the request left something")
	}
}

func TestWithoutAnAnswerItIsSaidWhetherAnythingCanHaveChanged(t *testing.T) {
	askers := New(&monitor{err: errors.New("the wall ended")}, nil, &wall.Greeting{})
	for kind, want := range map[wall.Kind]deputy.Code{
		wall.Rights: deputy.NotDurable, wall.Actions: deputy.NotDurable, wall.Explain: deputy.NotDurable,
		wall.Call: deputy.OutcomeUnknown, wall.Stop: deputy.OutcomeUnknown, wall.Reload: deputy.OutcomeUnknown, wall.Drain: deputy.OutcomeUnknown, wall.Upgrade: deputy.OutcomeUnknown,
	} {
		for _, s := range []*Session{askers.Local(wall.Connection{}), askers.Network(address(t, "192.0.2.1:5"))} {
			a := s.Begin()
			a.Sign(wall.Request{Kind: wall.Signed})
			var refusal *deputy.Error
			if _, err := a.Ask(t.Context(), wall.Request{Kind: kind}); !errors.As(err, &refusal) || refusal.Code != want {
				t.Errorf("kind %d: %v, want %s", kind, err, want)
			}
		}
	}
}

func TestWhoSeesHowMuchOfATask(t *testing.T) {
	alice := "alice"
	all := tasks{
		"own":    {ID: "own", Caller: "uid:5"},
		"alices": {ID: "alices", Caller: "uid:5", EndUser: &alice},
		"joined": {ID: "joined", Caller: "uid:6", Parties: []deputy.Party{{Caller: "uid:5", EndUser: "alice"}}},
		"others": {ID: "others", Module: "m", Action: "a", Caller: "uid:6"},
	}
	read := deputy.Rights{Read: []deputy.Grant{{Actions: []string{"m/a"}}}}
	stop := deputy.Rights{Stop: []deputy.Grant{{Actions: []string{"m/a"}}}}
	for _, c := range []struct {
		task, endUser string
		rights        deputy.Rights
		toStop        bool
		want          Sight
	}{
		{"own", "", deputy.Rights{}, false, Whole},
		{"own", "alice", deputy.Rights{}, false, Hidden},
		{"alices", "", deputy.Rights{}, false, Whole},
		{"alices", "alice", deputy.Rights{}, false, Whole},
		{"alices", "bob", deputy.Rights{}, false, Hidden},
		{"joined", "", deputy.Rights{}, false, Outline},
		{"joined", "alice", deputy.Rights{}, false, Outline},
		{"joined", "bob", deputy.Rights{}, false, Hidden},
		{"joined", "bob", deputy.Rights{Auditor: true}, false, Whole},
		{"others", "", deputy.Rights{}, true, Hidden},
		{"others", "", read, false, Whole},
		{"others", "", stop, false, Hidden},
		{"others", "", stop, true, Outline},
		{"gone", "", deputy.Rights{Auditor: true}, true, Hidden},
	} {
		a := New(&monitor{rights: c.rights}, all, &wall.Greeting{}).Local(wall.Connection{UID: 5}).Begin()
		a.EndUser = c.endUser
		got, err := a.Find(t.Context(), c.task, c.toStop)
		var refusal *deputy.Error
		if errors.As(err, &refusal) && refusal.Code == deputy.UnknownTask {
			err = nil
		}
		if err != nil || got.Sight != c.want {
			t.Errorf("%s, for %q, %+v, to stop %v: %d, %v, want %d", c.task, c.endUser, c.rights, c.toStop, got.Sight, err, c.want)
		}
	}
}

func TestAListIsNotChosenByWhatAnOutlineHides(t *testing.T) {
	joined := deputy.Task{ID: "joined", Caller: "uid:6", Parties: []deputy.Party{{Caller: "uid:5"}}}
	a := New(&monitor{}, nil, &wall.Greeting{}).Local(wall.Connection{UID: 5}).Begin()
	for _, byHidden := range []bool{false, true} {
		s, err := a.Select(t.Context(), byHidden)
		if err != nil || s.Caller != "uid:5" || s.Visible(&joined) == byHidden || s.Show(&joined).Sight != Outline {
			t.Errorf("chosen by what is hidden: %v: %+v, %v", byHidden, s, err)
		}
	}
}
