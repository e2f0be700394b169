package history

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"deputy"
)

// oracle is what the index must show, computed in the plainest way.
type oracle struct {
	order []string // ids, oldest first
	tasks map[string]*deputy.Task
	born  map[string]uint64 // seq of the record that accepted it
	last  map[string]uint64 // seq of the end
	seqs  []uint64
}

// fold reads lines from the first to the last.
func fold(t testing.TB, lines [][]byte) *oracle {
	o := &oracle{tasks: map[string]*deputy.Task{}, born: map[string]uint64{}, last: map[string]uint64{}}
	for _, line := range lines {
		e, err := decodeEvent(line)
		if err != nil {
			t.Fatal(err)
		}
		o.seqs = append(o.seqs, e.Seq)
		o.apply(e)
	}
	return o
}

func (o *oracle) apply(e deputy.Event) {
	at := deputy.Time{Time: e.Time.UTC()}
	orNil := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	for _, r := range e.Tasks {
		if !r.Joined {
			o.order, o.born[r.ID] = append(o.order, r.ID), e.Seq
			o.tasks[r.ID] = &deputy.Task{ID: r.ID, Module: e.Module, Action: e.Action, Params: r.Params, Lock: r.Lock,
				Caller: e.Caller, Joined: []deputy.Caller{}, EndUser: orNil(e.EndUser), State: deputy.Queued, Created: at}
		} else if t := o.tasks[r.ID]; t != nil && t.Ended == nil {
			if party := (deputy.Party{Caller: e.Caller, EndUser: e.EndUser}); !slices.Contains(t.Parties, party) {
				t.Parties = append(t.Parties, party)
			}
			if !slices.Contains(t.Joined, e.Caller) {
				t.Joined = append(t.Joined, e.Caller)
			}
		}
	}
	if e.Type == deputy.OutputRemoved {
		for _, id := range e.IDs {
			if t := o.tasks[id]; t != nil && t.Ended != nil && t.StdoutBytes > 0 {
				t.StdoutGap = &[2]int64{0, t.StdoutBytes}
			}
		}
	}
	t := o.tasks[e.Task]
	if t == nil || t.Ended != nil {
		return
	}
	switch e.Type {
	case deputy.Started:
		if t.Attempt = e.Attempt; t.State == deputy.Queued {
			t.State = deputy.Running
		}
		if t.Started == nil {
			t.Started = &at
		}
	case deputy.StopRequested:
		t.State = deputy.Stopping
	case deputy.Ended:
		t.State, t.Ended, t.Reason, t.Exit, t.Stop, t.Leftover, t.Attempt = e.State, &at, orNil(e.Reason), e.Exit, e.Receipt, &e.Left, e.Attempt
		t.StdoutBytes, t.StdoutGap, t.StderrBytes, t.StderrGap = e.Out.Bytes, e.Out.Gap, e.Err.Bytes, e.Err.Gap
		o.last[t.ID] = e.Seq
	}
}

// newestFirst gives the tasks that pick likes.
func (o *oracle) newestFirst(pick func(*deputy.Task) bool) []deputy.Task {
	list := []deputy.Task{}
	for _, id := range slices.Backward(o.order) {
		if t := o.tasks[id]; t != nil && pick(t) {
			list = append(list, attempted(*t))
		}
	}
	return list
}

// attempted is a task with the one attempt that its other members tell of.
func attempted(t deputy.Task) deputy.Task {
	t.Attempts = []deputy.Attempt{}
	if t.Attempt > 0 {
		t.Attempts = append(t.Attempts, deputy.Attempt{Attempt: t.Attempt, Started: t.Started, Ended: t.Ended, Exit: t.Exit, Reason: t.Reason,
			Stdout: [2]int64{0, t.StdoutBytes}, Stderr: [2]int64{0, t.StderrBytes}})
	}
	return t
}

// same compares values as readers see them: as JSON.
func same(t testing.TB, what string, got, want any) {
	t.Helper()
	a, b := text(t, got), text(t, want)
	if a == b {
		return
	}
	if diff := cmp.Diff(strings.Split(b, "\n"), strings.Split(a, "\n")); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func text(t testing.TB, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// all pages through a list to its end.
func all(t testing.TB, h *History, q Query, visible func(*deputy.Task) bool, scope *Scope) []deputy.Task {
	t.Helper()
	list := []deputy.Task{}
	for {
		page, next, err := h.Tasks(context.Background(), q, visible, scope)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) > q.Limit {
			t.Fatalf("a page of %d tasks, limit %d", len(page), q.Limit)
		}
		if list = append(list, page...); next == "" {
			return list
		}
		q.Before = next
	}
}

// check holds everything that the index shows against the oracle.
func check(t testing.TB, h *History, o *oracle) {
	t.Helper()
	everything := func(*deputy.Task) bool { return true }
	same(t, "all tasks", all(t, h, Query{Limit: 100}, nil, nil), o.newestFirst(everything))
	for id, want := range o.tasks {
		got, ok, err := h.Task(context.Background(), id)
		if err != nil || !ok {
			t.Fatalf("task %s: %v %v", id, ok, err)
		}
		same(t, "task "+id, got, attempted(*want))
		same(t, "who joined task "+id, got.Parties, want.Parties)
	}
	same(t, "record numbers", eventSeqs(t, h, 1), o.seqs)
	checkMemory(t, h)
}

// checkMemory sees that what memory holds fits together.
func checkMemory(t testing.TB, h *History) {
	t.Helper()
	h.mu.RLock()
	defer h.mu.RUnlock()
	recent := map[*entry]bool{}
	for _, e := range h.recent {
		if e == nil {
			continue
		}
		if recent[e] || e.dirty || e.task.endedSeq == 0 {
			t.Fatalf("task %s is not one that was written after its end, once: %+v", e.task.ID, e)
		}
		recent[e] = true
	}
	dead := 0
	for i, e := range h.order {
		if i > 0 && h.order[i-1].ord >= e.ord {
			t.Fatalf("task %s is out of order", e.task.ID)
		}
		if e.dead {
			dead++
		} else if h.tasks[e.task.ID] != e {
			t.Fatalf("task %s cannot be found", e.task.ID)
		}
	}
	if dead != h.dead || len(h.order)-dead != len(h.tasks) {
		t.Fatalf("%d tasks in order, %d of them dead (counted: %d), %d in all", len(h.order), dead, h.dead, len(h.tasks))
	}
}

// eventSeqs reads the numbers of all records from one on, as far as they are applied.
func eventSeqs(t testing.TB, h *History, from uint64) []uint64 {
	t.Helper()
	var seqs []uint64
	last := h.Applied()
	if from > last {
		return seqs
	}
	err := h.Events(context.Background(), from, nil, func(e deputy.Event, raw []byte) error {
		if seqs = append(seqs, e.Seq); e.Seq == last {
			return errEnough
		}
		return nil
	})
	if err != errEnough {
		t.Fatal(err)
	}
	return seqs
}
