package monitor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"deputy"
)

// Who waits for many places gets them in turn with those who wait for one.
func TestPlacesAreGivenInTurn(t *testing.T) {
	f := newFairly(1)
	ctx := context.Background()
	f.enter(ctx, "holder", nil)
	got := make(chan string)
	wait := func(who string, n int) {
		for range n {
			before := waiting(f)
			go func() {
				if f.enter(ctx, who, nil) {
					got <- who
				}
			}()
			for waiting(f) == before {
				time.Sleep(time.Microsecond)
			}
		}
	}
	wait("uid:1", 5)
	wait("uid:2", 2)
	wait("uid:3", 1)
	var order []string
	for range 8 {
		f.leave()
		order = append(order, <-got)
	}
	if want := strings.Fields("uid:1 uid:2 uid:3 uid:1 uid:2 uid:1 uid:1 uid:1"); !slices.Equal(order, want) {
		t.Errorf("given to %v\n want %v", order, want)
	}
	f.leave()
	if f.free != 1 || len(f.waiting) != 0 || len(f.next) != 0 {
		t.Errorf("left over: %+v", f)
	}
}

func waiting(f *fairly) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, line := range f.waiting {
		n += len(line)
	}
	return n
}

// Who gives up takes nothing with it.
func TestWhoGivesUpLeavesItsPlace(t *testing.T) {
	f := newFairly(1)
	f.enter(context.Background(), "holder", nil)
	for i := range 200 {
		ctx, cancel := context.WithCancel(context.Background())
		over := make(chan bool)
		go func() { over <- f.enter(ctx, fmt.Sprint(i%3), nil) }()
		for waiting(f) == 0 {
			time.Sleep(time.Microsecond)
		}
		go cancel()
		f.leave() // at the same moment
		if !<-over {
			f.enter(context.Background(), "holder", nil)
		}
	}
	f.leave()
	if f.free != 1 || len(f.waiting) != 0 || len(f.next) != 0 {
		t.Errorf("left over: %+v", f)
	}
}

// The values of live tasks take so much of the memory: those of one caller, and of all.
func TestValuesOfLiveTasksHaveSoMuchRoom(t *testing.T) {
	s := newState()
	start := func(id string, c deputy.Caller, items int) *deputy.Error {
		params := deputy.Params{"list": slices.Repeat([]any{deputy.Number("1")}, items)}
		refusal := s.roomForValues(string(c), s.count[c].values, weight(map[string]any(params)))
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
