package state

import (
	"deputy"
	"fmt"
	"slices"
	"testing"
)

// The values of live tasks take so much of the memory: those of one caller, and of all.
func TestValuesOfLiveTasksHaveSoMuchRoom(t *testing.T) {
	s := New()
	start := func(id string, c deputy.Caller, items int) *deputy.Error {
		params := deputy.Params{"list": slices.Repeat([]any{deputy.Number("1")}, items)}
		refusal := s.RoomForValues(string(c), s.count[c].Values, Weight(map[string]any(params)))
		if refusal == nil {
			s.add(&Task{ID: id, LiveTask: deputy.LiveTask{Caller: c, Params: params}})
		}
		return refusal
	}
	if refusal := start("huge", "uid:1", valuesAll/40); refusal != nil { // alone it has room
		t.Fatal(refusal)
	}
	if refusal := start("more", "uid:2", 1); refusal == nil || refusal.Code != deputy.NotDurable || refusal.RetryAfter < 1 {
		t.Errorf("beyond the room of all: %+v", refusal)
	}
	s.remove("huge")
	n := 0
	var refusal *deputy.Error
	for ; refusal == nil && n < 1000; n++ {
		refusal = start(fmt.Sprint(n), "uid:1", 30_000) // 60 KB as JSON
	}
	if n < 3 || n > 20 || refusal == nil || refusal.Code != deputy.RateLimited || refusal.RetryAfter < 1 {
		t.Errorf("after %d: %+v", n, refusal)
	}
	if refusal := start("other", "uid:2", 30_000); refusal != nil {
		t.Errorf("another caller: %v", refusal)
	}
	for id := range s.Tasks {
		s.remove(id)
	}
	if s.values != 0 || len(s.count) != 0 {
		t.Errorf("%d bytes are counted without a task, and %v", s.values, s.count)
	}
}
