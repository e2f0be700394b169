//go:build linux

// Package faults lets a real deputy live through a seeded random load and
// seeded random faults, records every request, every answer and every act of
// every task, and then holds deputy's promises against the record.
//
//	make faults SEED=7 CYCLES=500
//
// load asks, faults kills, record remembers, check judges: check knows nothing
// of how the record came about, and has tests of its own in which each promise
// is broken.
package faults

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"deputy"
)

// record is all that is known of one run. Every time in it is Unix time in ns.
type record struct {
	mu       sync.Mutex
	requests []request
	refused  []int64 // when a connection was refused
	acts     []act
	faults   []fault
	journal  []deputy.Event
	tasks    []deputy.Task // as the API lists them in the end, newest first
	log      []string      // what deputyd said
}

// request is one message and its answer. One that was sent again is another.
type request struct {
	Sent, Answered int64
	Caller         deputy.Caller
	Call           string // "call MODULE/ACTION", "stop ID" or "look ID"
	Body           string
	Key            string
	FirstSent      int64 // when this key was first sent
	Status         int   // 0: no answer came
	Err            string
	Code           deputy.Code
	Tasks          []string
	Replayed       bool
	Lived          []int // stop, and look at an end: processes found in the task's cgroup after the answer
	State          deputy.State
	Ended          bool
}

// act is one line of an actor.
type act struct {
	What    string // start, clash, end
	Task    string
	Attempt int
	PID     int
	At      int64
	How     string // end: code:N or signal:N; clash: the lock
	Bytes   int64  // end
}

// fault is one thing that was done to deputy. Until To it may not have
// answered.
type fault struct {
	What     string
	From, To int64
	Monitor  bool // a monitor died
	Orphaned bool // the keeper ended, too: whatever ended meanwhile had no parent of deputy's
}

func now() int64 { return time.Now().UnixNano() }

func (r *record) add(q request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, q)
}

func (r *record) refuse(at int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = append(r.refused, at)
}

func (r *record) fault(f fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, f)
}

// readActs reads what the actors said.
func readActs(from io.Reader) ([]act, error) {
	var list []act
	for lines := bufio.NewScanner(from); lines.Scan(); {
		var a act
		fields := strings.Fields(lines.Text())
		_, err := fmt.Sscan(lines.Text(), &a.What, &a.Task, &a.Attempt, &a.PID, &a.At)
		rest := strings.Join(fields[min(5, len(fields)):], " ")
		switch {
		case err != nil:
		case a.What == "clash":
			_, err = fmt.Sscan(rest, &a.How)
		case a.What == "end":
			_, err = fmt.Sscan(rest, &a.How, &a.Bytes)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the actors' line %q: %w", lines.Text(), err)
		}
		list = append(list, a)
	}
	return list, nil
}

// maxExcerpt is how many lines of the record are shown for a broken promise.
const maxExcerpt = 40

// excerpt shows what the record says about a task, or about a key, in the order
// in which it happened, with the faults of that time.
func (r *record) excerpt(b breach) string {
	type line struct {
		at   int64
		text string
	}
	var lines []line
	add := func(at int64, format string, args ...any) {
		lines = append(lines, line{at, fmt.Sprintf(format, args...)})
	}
	about := func(tasks []string, key string) bool {
		return b.Task != "" && slices.Contains(tasks, b.Task) || b.Key != "" && b.Key == key
	}
	for i := range r.journal {
		e := &r.journal[i]
		if about(mentioned(e), keyOf(e)) {
			add(e.Time.UnixNano(), "journal %d %s %s pid=%d state=%s exit=%s %s", e.Seq, e.Type, e.Caller, e.PID, e.State, exitText(e.Exit), e.Reason)
		}
	}
	for _, q := range r.requests {
		if about(append(q.Tasks, strings.TrimPrefix(q.Call, "stop ")), q.Key) {
			add(q.Sent, "%s asks: %s %s key=%s", q.Caller, q.Call, q.Body, q.Key)
			add(q.Answered, "%s is answered: %d %s %s %v lived=%v", q.Caller, q.Status, q.Code, q.Err, q.Tasks, q.Lived)
		}
	}
	for _, t := range r.tasks {
		if t.ID == b.Task && b.Task != "" {
			add(t.Created.UnixNano(), "in the end the history lists it: %s exit=%s", t.State, exitText(t.Exit))
		}
	}
	for _, a := range r.acts {
		if a.Task == b.Task {
			add(a.At, "the task says: %s attempt %d pid %d %s", a.What, a.Attempt, a.PID, a.How)
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return int(max(-1, min(1, a.at-b.at))) })
	if len(lines) > 0 {
		from, to := lines[0].at, lines[len(lines)-1].at
		for _, f := range r.faults {
			if f.To > from-int64(time.Second) && f.From < to+int64(time.Second) {
				add(f.From, "FAULT %s", f.What)
				add(f.To, "deputy answers after %s", f.What)
			}
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return int(max(-1, min(1, a.at-b.at))) })
	var text strings.Builder
	for i, l := range lines {
		if i == maxExcerpt {
			fmt.Fprintf(&text, "    … and %d lines more\n", len(lines)-i)
			break
		}
		fmt.Fprintf(&text, "    %s %s\n", time.Unix(0, l.at).UTC().Format("15:04:05.000000"), l.text)
	}
	for _, l := range r.log {
		if b.Task != "" && strings.Contains(l, b.Task[max(0, len(b.Task)-8):]) {
			fmt.Fprintf(&text, "    deputyd said: %s\n", l)
		}
	}
	return text.String()
}

// mentioned lists the tasks that a record of the journal is about.
func mentioned(e *deputy.Event) []string {
	ids := append([]string{e.Task}, e.IDs...)
	for _, t := range e.Tasks {
		ids = append(ids, t.ID)
	}
	return ids
}

func keyOf(e *deputy.Event) string {
	if e.Key == nil {
		return ""
	}
	return e.Key.Key
}
