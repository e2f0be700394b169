package turns

import (
	"fmt"
	"testing"
	"time"

	"deputy"
	"deputy/internal/monitor/manifest"
)

var often = manifest.Rate{Number: 1000, Span: time.Second}

func (t *Turns) mustPut(test *testing.T, c deputy.Caller, one Turn) {
	test.Helper()
	if refusal := t.Put(c, one, often); refusal != nil {
		test.Fatal(refusal)
	}
}

func nothing() {}

// Who has much waiting delays nobody else: of each caller one is served, in turn.
func TestCallersAreServedInTurn(t *testing.T) {
	all := New()
	var order []string
	put := func(c deputy.Caller, id int) {
		all.mustPut(t, c, func() { order = append(order, fmt.Sprintf("%s/%d", c, id)) })
	}
	for i := range 100 {
		put("uid:1", i)
	}
	put("uid:2", 0)
	put("uid:3", 0)
	put("uid:2", 1)
	for range 6 {
		l, one := all.take()
		one()
		all.done(l)
	}
	if got, want := fmt.Sprint(order), "[uid:1/0 uid:2/0 uid:3/0 uid:1/1 uid:2/1 uid:1/2]"; got != want {
		t.Errorf("served %s\n  want %s", got, want)
	}
}

// While one of a caller's requests is served none other of its is: what it asks
// for takes one place, and the others' are free.
func TestOfEachCallerOneRequestIsServed(t *testing.T) {
	all := New()
	all.mustPut(t, "uid:1", nothing)
	all.mustPut(t, "uid:1", nothing)
	first, _ := all.take()
	all.mustPut(t, "uid:1", nothing)
	all.mustPut(t, "uid:2", nothing)
	second, _ := all.take()
	if first.caller != "uid:1" || second.caller != "uid:2" {
		t.Errorf("served beside each other: %s and %s", first.caller, second.caller)
	}
	if len(all.next) != 0 {
		t.Errorf("%d more would be served", len(all.next))
	}
	all.done(second)
	all.done(first)
	if len(all.lines) != 1 || len(all.next) != 1 {
		t.Errorf("%d callers are known, %d are next", len(all.lines), len(all.next))
	}
}

// Every request is charged, before anything is made of it.
func TestEveryRequestIsCharged(t *testing.T) {
	all := New()
	rate := manifest.Rate{Number: 1, Span: time.Hour} // that is less than the least
	taken := 0
	var refusal *deputy.Error
	for refusal == nil && taken < 5000 {
		if refusal = all.Put("uid:1", nothing, rate); refusal == nil {
			taken++
		}
	}
	if refusal == nil || refusal.Code != deputy.RateLimited || refusal.RetryAfter < 1 || taken < 1000 {
		t.Errorf("after %d: %+v", taken, refusal)
	}
	if refusal := all.Put("uid:2", nothing, rate); refusal != nil {
		t.Errorf("another caller: %v", refusal)
	}
}

func TestTurnsEnd(t *testing.T) {
	all := New()
	ended := make(chan bool)
	go func() { l, _ := all.take(); ended <- l == nil }()
	all.Close()
	if !<-ended {
		t.Error("there was a turn although it is over")
	}
}
