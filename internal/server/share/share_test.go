package share

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deputy"
)

func refusedWith(t *testing.T, err error, want deputy.Code) {
	t.Helper()
	var refusal *deputy.Error
	if !errors.As(err, &refusal) || refusal.Code != want || refusal.RetryAfter < 1 {
		t.Errorf("%v, want %s", err, want)
	}
}

// A sender has its part of the room, and all together have the room.
func TestBodiesHaveSoMuchRoom(t *testing.T) {
	b := NewBodies()
	hold := func(who string, n int64) (Hold, error) {
		h := b.Hold(who)
		err := h.Grow(n)
		return h, err
	}
	var held []Hold
	for range smallEach / DefaultBody {
		h, err := hold("uid:1", DefaultBody)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, h)
	}
	_, err := hold("uid:1", 1)
	refusedWith(t, err, deputy.RateLimited)
	large, err := hold("uid:1", largeEach) // it has a room of its own
	if err != nil {
		t.Error(err)
	}
	_, err = hold("uid:2", largeEach)
	refusedWith(t, err, deputy.NotDurable)
	large.Free()
	if _, err := hold("uid:2", largeEach); err != nil {
		t.Error(err)
	}
	for i := range 3 {
		for range smallEach / DefaultBody {
			if _, err := hold(fmt.Sprint("uid:", 3+i), DefaultBody); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err = hold("uid:9", 1)
	refusedWith(t, err, deputy.NotDurable)
	held[0].Free()
	if _, err := hold("uid:9", DefaultBody); err != nil {
		t.Error(err)
	}
}

// At each desk as many are served as it has places, in the order in which they came,
// and nobody waits for those at another.
func TestEachSenderHasADesk(t *testing.T) {
	d := NewDesks(2)
	ctx := context.Background()
	var inside, most atomic.Int32
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			leave, err := d.Enter(ctx, "uid:1")
			if err != nil {
				t.Error(err)
				return
			}
			if n := inside.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Millisecond)
			inside.Add(-1)
			leave()
			leave() // once more is nothing
		})
	}
	all.Wait()
	if most.Load() > 2 {
		t.Errorf("%d were served at once", most.Load())
	}
	first, _ := d.Enter(ctx, "uid:1")
	second, _ := d.Enter(ctx, "uid:1")
	if leave, err := d.Enter(ctx, "uid:2"); err != nil {
		t.Error(err)
	} else {
		leave()
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := d.Enter(gone, "uid:1"); !errors.Is(err, context.Canceled) {
		t.Errorf("whoever has gone: %v", err)
	}
	first()
	second()
	if len(d.by) != 0 {
		t.Errorf("%d desks are left", len(d.by))
	}
}

// At work a place rests as long as it was used, while others of its sender wait for it:
// never for whoever asks for one thing after another.
func TestWhoHasMuchToDoRests(t *testing.T) {
	d := NewWork(1)
	ctx := context.Background()
	for range 100 {
		leave, _ := d.Enter(ctx, "uid:1")
		time.Sleep(time.Millisecond)
		leave()
		if len(d.by) != 0 {
			t.Fatal("a place rests for which nobody waits")
		}
	}
	leave, _ := d.Enter(ctx, "uid:1")
	entered := make(chan time.Time)
	go func() {
		leave, _ := d.Enter(ctx, "uid:1")
		entered <- time.Now()
		leave()
	}()
	for users := 0; users < 2; time.Sleep(time.Millisecond) {
		d.mu.Lock()
		users = d.by["uid:1"].users
		d.mu.Unlock()
	}
	time.Sleep(longestPause)
	left := time.Now()
	leave()
	if rested := (<-entered).Sub(left); rested < longestPause {
		t.Errorf("it rested for %v", rested)
	}
}

// Who waits too long for its own bodies is told to come back.
func TestABodyWaitsForAWhile(t *testing.T) {
	t.Parallel()
	d := NewDesks(1)
	leave, _ := d.Enter(context.Background(), "uid:1")
	defer leave()
	_, err := d.EnterBody(context.Background(), "uid:1")
	refusedWith(t, err, deputy.RateLimited)
}
