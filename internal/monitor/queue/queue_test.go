package queue

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func anyone(string) bool { return true }

func fill(l *Line, entries ...Entry) {
	for i, e := range entries {
		if e.Seq == 0 {
			e.Seq = uint64(i + 1)
		}
		l.Wait(e)
	}
}

// drain gives the order in which all are given a place, each leaving before the next.
func drain(l *Line, now int64) (order []string) {
	for id := l.Next(now, anyone); id != ""; id = l.Next(now, anyone) {
		order = append(order, id)
		l.Leave(id)
	}
	return order
}

func TestWhoIsNext(t *testing.T) {
	for name, c := range map[string]struct {
		rules   Rules
		entries []Entry
		now     int64
		want    []string
	}{
		"as they came":                  {Rules{Parallel: 1, Fair: ByNone}, []Entry{{ID: "a", Caller: "x"}, {ID: "b", Caller: "x"}, {ID: "c", Caller: "y"}}, 0, []string{"a", "b", "c"}},
		"callers in turn":               {Rules{Parallel: 1, Fair: ByCaller}, []Entry{{ID: "a", Caller: "x"}, {ID: "b", Caller: "x"}, {ID: "c", Caller: "x"}, {ID: "d", Caller: "y"}}, 0, []string{"a", "d", "b", "c"}},
		"priority first":                {Rules{Parallel: 1, Fair: ByCaller}, []Entry{{ID: "a", Caller: "x"}, {ID: "b", Caller: "x", Priority: 1}, {ID: "c", Caller: "y", Priority: -1}}, 0, []string{"b", "a", "c"}},
		"end users divide the turn":     {Rules{Parallel: 1, Fair: ByEndUser}, []Entry{{ID: "a", Caller: "x", EndUser: "u"}, {ID: "b", Caller: "x", EndUser: "u"}, {ID: "c", Caller: "x", EndUser: "v"}, {ID: "d", Caller: "y"}}, 0, []string{"a", "d", "c", "b"}},
		"many end users are one turn":   {Rules{Parallel: 1, Fair: ByEndUser}, []Entry{{ID: "a", Caller: "x", EndUser: "u"}, {ID: "b", Caller: "x", EndUser: "v"}, {ID: "c", Caller: "x", EndUser: "w"}, {ID: "d", Caller: "y"}, {ID: "e", Caller: "y"}}, 0, []string{"a", "d", "b", "e", "c"}},
		"who has waited goes first":     {Rules{Parallel: 1, Fair: ByNone, OvertakeAfter: 10}, []Entry{{ID: "a", Caller: "x", Priority: -5}, {ID: "b", Caller: "x", Since: 5}}, 10, []string{"a", "b"}},
		"but only every second time":    {Rules{Parallel: 1, Fair: ByNone, OvertakeAfter: 10}, []Entry{{ID: "a", Caller: "x", Priority: -5}, {ID: "b", Caller: "x", Priority: -5}, {ID: "c", Caller: "x", Since: 90}, {ID: "d", Caller: "x", Since: 90}}, 99, []string{"a", "c", "b", "d"}},
		"and nobody has waited so long": {Rules{Parallel: 1, Fair: ByNone, OvertakeAfter: 10}, []Entry{{ID: "a", Caller: "x", Priority: -5}, {ID: "b", Caller: "x", Since: 5}}, 9, []string{"b", "a"}},
	} {
		l := New(c.rules)
		fill(l, c.entries...)
		positions := l.Standing(c.now, anyone).Positions()
		for i, id := range c.want {
			if got := positions[id]; got != i || len(positions) != len(c.want) {
				t.Errorf("%s: %s is at %d of %d, want %d of %d", name, id, got, len(positions), i, len(c.want))
			}
		}
		if got := drain(l, c.now); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if !l.Empty() || len(l.callers)+len(l.users) > 0 {
			t.Errorf("%s: left over: %+v", name, l)
		}
	}
}

func TestNobodyIsNextInAPausedOrFullQueue(t *testing.T) {
	l := New(Rules{Parallel: 2})
	fill(l, Entry{ID: "a"}, Entry{ID: "b"}, Entry{ID: "c"})
	l.Paused = true
	if id := l.Next(0, anyone); id != "" || l.Free() {
		t.Errorf("%s begins in a paused queue", id)
	}
	l.Paused = false
	l.Place("running")
	if l.Next(0, anyone) != "a" || l.Next(0, anyone) != "" || l.Free() {
		t.Error("not exactly one place was free")
	}
	if id := l.Next(0, func(id string) bool { return id == "c" }); id != "" {
		t.Errorf("%s has a place that is not there", id)
	}
	l.Leave("running")
	if id := l.Next(0, func(id string) bool { return id == "c" }); id != "c" {
		t.Errorf("%s passes over b, which may not begin", id)
	}
}

// A model of the queue and any sequence of what can happen to it: never more than
// Parallel have a place but for those that had one before; whoever may begin and is
// asked for does, while there is a place; nobody starves, however many come with a
// higher priority; and each caller who waits has a turn before another has two.
func TestAnyQueueAnyTime(t *testing.T) {
	for seed := range uint64(3000) {
		dice := rand.New(rand.NewPCG(seed, 0))
		r := Rules{Parallel: 1 + dice.IntN(3), Fair: []Fair{ByCaller, ByEndUser, ByNone}[dice.IntN(3)], OvertakeAfter: time.Duration(1 + dice.IntN(40))}
		l := New(r)
		var placed []string
		locked := map[string]bool{}
		since := map[string]int64{}
		now, n := int64(0), 0
		may := func(id string) bool { return !locked[id] }
		for range 300 {
			now++
			switch dice.IntN(4) {
			case 0:
				n++
				id := fmt.Sprint(n)
				locked[id] = dice.IntN(4) == 0
				since[id] = now
				l.Wait(Entry{ID: id, Priority: dice.IntN(5), Caller: fmt.Sprint(dice.IntN(3)), EndUser: fmt.Sprint(dice.IntN(2)), Seq: uint64(n), Since: now})
			case 1:
				if len(placed) > 0 {
					i := dice.IntN(len(placed))
					l.Leave(placed[i])
					delete(since, placed[i])
					placed = slices.Delete(placed, i, i+1)
				}
			case 2:
				clear(locked)
			case 3:
				l.Paused = dice.IntN(8) == 0
			}
			for {
				able := slices.ContainsFunc(l.waiting, func(e *Entry) bool { return may(e.ID) })
				id := l.Next(now, may)
				if room := !l.Paused && len(placed) < r.Parallel; (id != "") != (room && able) {
					t.Fatalf("seed %d: %q begins with %d of %d placed, somebody able: %v, paused: %v", seed, id, len(placed), r.Parallel, able, l.Paused)
				}
				if id == "" {
					break
				}
				placed = append(placed, id)
			}
			if l.Placed() != len(placed) || len(placed) > r.Parallel {
				t.Fatalf("seed %d: %d are placed, %d are known, of %d", seed, len(placed), l.Placed(), r.Parallel)
			}
		}
		starve(t, seed, r)
		turns(t, seed, r)
	}
}

// starve has one of the lowest priority wait while others of the highest come for ever.
func starve(t *testing.T, seed uint64, r Rules) {
	l := New(r)
	l.Wait(Entry{ID: "low", Priority: -100, Caller: "a", Seq: 1})
	for n := range uint64(1000) {
		l.Wait(Entry{ID: fmt.Sprint(n), Priority: 100, Caller: "b", Seq: n + 2, Since: int64(n)})
		id := l.Next(int64(n), anyone)
		if id == "low" {
			if n > uint64(r.OvertakeAfter)+1 {
				t.Fatalf("seed %d: it waited %d rounds, to overtake after %d", seed, n, r.OvertakeAfter)
			}
			return
		}
		l.Leave(id)
	}
	t.Fatalf("seed %d: one of low priority starves", seed)
}

// turns has three callers wait with many each.
func turns(t *testing.T, seed uint64, r Rules) {
	if r.Fair == ByNone {
		return
	}
	r.OvertakeAfter = 0
	l := New(r)
	for n := range uint64(60) {
		l.Wait(Entry{ID: fmt.Sprint(n%3, n), Caller: fmt.Sprint(n % 3), Seq: n + 1})
	}
	last := map[byte]int{'0': 0, '1': 0, '2': 0}
	for i := 1; i <= 60; i++ {
		id := l.Next(0, anyone)
		if i-last[id[0]] > 3 {
			t.Fatalf("seed %d: a caller waits %d turns of three", seed, i-last[id[0]])
		}
		last[id[0]] = i
		l.Leave(id)
	}
}

func BenchmarkNext(b *testing.B) {
	l := New(Rules{Parallel: 1, Fair: ByCaller})
	for n := range uint64(1000) {
		l.Wait(Entry{ID: fmt.Sprint(n), Caller: fmt.Sprint(n % 7), Seq: n + 1})
	}
	n := uint64(1000)
	for b.Loop() {
		l.Leave(l.Next(0, anyone))
		n++
		l.Wait(Entry{ID: fmt.Sprint(n), Caller: fmt.Sprint(n % 7), Seq: n})
	}
}
