package state

import (
	"deputy"
	"encoding/json"
	"testing"
)

// begun is the state under a monitor in the boot "this".
func begun(t *testing.T) *State {
	t.Helper()
	s := New()
	apply(t, s, &deputy.Event{Type: deputy.MonitorStart, Boot: "this"})
	return s
}

func apply(t *testing.T, s *State, e *deputy.Event) {
	t.Helper()
	if err := s.Apply(e); err != nil {
		t.Fatal(err)
	}
}

func checkpoint(t *testing.T, s *State) *deputy.Event {
	t.Helper()
	text, err := json.Marshal(s.Unended())
	if err != nil {
		t.Fatal(err)
	}
	return &deputy.Event{Type: deputy.Checkpoint, Checkpoint: text}
}

// What is live in a restored journal is lost, through a checkpoint, too; what
// is accepted later is not.
func TestRestoredStateIsLost(t *testing.T) {
	s := begun(t)
	apply(t, s, &deputy.Event{Type: deputy.Accepted, Tasks: []deputy.TaskRecord{{ID: "t", Queued: true, Run: json.RawMessage("{}")}}})
	apply(t, s, &deputy.Event{Type: deputy.MonitorStart, Boot: "this", Restored: true})
	apply(t, s, checkpoint(t, s))
	apply(t, s, &deputy.Event{Type: deputy.Accepted, Tasks: []deputy.TaskRecord{{ID: "u", Queued: true, Run: json.RawMessage("{}")}}})
	if !s.Tasks["t"].Lost || s.Tasks["u"].Lost {
		t.Errorf("lost: %v, %v", s.Tasks["t"].Lost, s.Tasks["u"].Lost)
	}
	if s.Known.Boot != "this" {
		t.Errorf("a checkpoint forgets from when on nonces are known: %+v", s.Known)
	}
}

// A monitor that ended in good order has nothing half started. The next one may
// start it, in the same boot by the same intent.
func TestOrderlyEnd(t *testing.T) {
	s := begun(t)
	for _, id := range []string{"unborn", "born"} {
		apply(t, s, &deputy.Event{Type: deputy.Accepted, Tasks: []deputy.TaskRecord{{ID: id, Run: json.RawMessage("{}")}}})
	}
	apply(t, s, &deputy.Event{Type: deputy.Started, Task: "born", Attempt: 1, PID: 7, Leaf: "born.1", Boot: "this"})
	apply(t, s, &deputy.Event{Type: deputy.MonitorEnd})
	unborn := func(when, id string, want bool) {
		t.Helper()
		if got := s.Tasks[id].Unborn; got != want {
			t.Errorf("%s, %s: it is known not to be born: %v", when, id, got)
		}
	}
	unborn("at the end", "unborn", true)
	unborn("at the end", "born", false)
	apply(t, s, &deputy.Event{Type: deputy.MonitorStart, Boot: "other"})
	apply(t, s, checkpoint(t, s))
	unborn("in another boot", "unborn", true)
	apply(t, s, &deputy.Event{Type: deputy.MonitorStart, Boot: "third"})
	unborn("in a third", "unborn", true)
	apply(t, s, &deputy.Event{Type: deputy.StartIntended, Task: "unborn", Attempt: 1})
	unborn("intended anew", "unborn", false)
	apply(t, s, &deputy.Event{Type: deputy.MonitorEnd})
	unborn("at another end", "unborn", true)
	apply(t, s, &deputy.Event{Type: deputy.MonitorStart, Boot: "third"})
	unborn("under a monitor that may start it", "unborn", false)
}
