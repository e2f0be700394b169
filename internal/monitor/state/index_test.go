package state

import (
	"encoding/json"
	"testing"

	"deputy"
)

func acceptLocked(t *testing.T, s *State, queued bool, id, lock string, parts ...string) {
	t.Helper()
	e := &deputy.Event{Type: deputy.Accepted, Caller: "uid:1", Module: "m", Action: "a",
		Tasks: []deputy.TaskRecord{{ID: id, Lock: &lock, Parts: parts, Queued: queued, Run: json.RawMessage("{}")}}}
	if err := s.Apply(e); err != nil {
		t.Fatal(err)
	}
}

func (u LockUse) names() (ids [2]string) {
	for i, t := range u.All() {
		ids[i] = t.ID
	}
	return ids
}

// The parts of a lock are its identity. What an earlier version accepted is known
// by its text alone, and excludes whatever reads the same until it has ended.
func TestALockIsTheTupleOfItsParts(t *testing.T) {
	s := New()
	held := func(what string, parts []string, want ...string) {
		t.Helper()
		var ids [2]string
		copy(ids[:], want)
		if got := s.use(s.nameOf("m", parts)).names(); got != ids {
			t.Errorf("%s: %q is held and awaited by %q, want %q", what, parts, got, ids)
		}
	}
	one, other, whole := []string{"a-b", "-", "c"}, []string{"a", "-", "b-c"}, []string{"a-b-c"}
	acceptLocked(t, s, false, "1", "a-b-c", one...)
	acceptLocked(t, s, false, "2", "a-b-c", other...)
	held("two of one text", one, "1")
	held("two of one text", other, "2")
	held("two of one text", whole)
	if got := s.use(s.nameOf("n", one)).names(); got != [2]string{} {
		t.Errorf("another module's lock is held by %q", got)
	}
	again := New()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.restore(text); err != nil {
		t.Fatal(err)
	}
	s = again
	held("from a checkpoint", one, "1")
	held("from a checkpoint", other, "2")

	s.remove("1")
	s.remove("2")
	acceptLocked(t, s, false, "3", "a-b-c")
	held("known by its text", one, "3")
	held("known by its text", other, "3")
	acceptLocked(t, s, true, "4", "a-b-c", one...)
	held("one waits behind it", one, "3", "4")
	s.remove("3")
	held("it has ended", one, "4")
	s.remove("4")
	held("all have ended", one)
	if len(s.locks) != 0 {
		t.Errorf("locks that nobody has: %v", s.locks)
	}
}
