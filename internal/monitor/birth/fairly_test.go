package birth

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
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
