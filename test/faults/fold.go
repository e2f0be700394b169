//go:build linux

package faults

import (
	"encoding/json"

	"github.com/google/go-cmp/cmp"

	"deputy"
)

// differs says how a task of the history is not what the journal tells.
func (s *story) differs(t *deputy.Task) string {
	return cmp.Diff(plain(s.fold()), plain(t))
}

// fold makes a task of its records, in a way of its own: neither the monitor's
// nor the server's code is asked.
func (s *story) fold() *deputy.Task {
	r := s.accepted.Tasks[s.item]
	t := &deputy.Task{
		ID: r.ID, Module: s.accepted.Module, Action: s.accepted.Action, Params: r.Params, Lock: r.Lock,
		Caller: s.accepted.Caller, Joined: s.joined, State: deputy.Queued, Created: s.accepted.Time, Attempts: []deputy.Attempt{},
	}
	defer s.foldAttempt(t)
	if len(s.started) > 0 {
		t.State, t.Attempt, t.Started = deputy.Running, s.started[0].Attempt, &s.started[0].Time
	}
	if len(s.stops) > 0 {
		t.State = deputy.Stopping
	}
	if len(s.ended) == 0 {
		return t
	}
	e := s.ended[0]
	t.State, t.Ended, t.Exit, t.Stop, t.Leftover = e.State, &e.Time, e.Exit, e.Receipt, &e.Left
	if e.Reason != "" {
		t.Reason = &e.Reason
	}
	if e.Attempt > 0 {
		t.Attempt = e.Attempt
	}
	if e.Out != nil {
		t.StdoutBytes, t.StdoutGap = e.Out.Bytes, e.Out.Gap
	}
	if e.Err != nil {
		t.StderrBytes, t.StderrGap = e.Err.Bytes, e.Err.Gap
	}
	return t
}

// foldAttempt adds what the records tell of the newest attempt.
func (s *story) foldAttempt(t *deputy.Task) {
	if t.Attempt > 0 {
		t.Attempts = append(t.Attempts, deputy.Attempt{
			Attempt: t.Attempt, Started: t.Started, Ended: t.Ended, Exit: t.Exit, Reason: t.Reason,
			Stdout: [2]int64{0, t.StdoutBytes}, Stderr: [2]int64{0, t.StderrBytes},
		})
	}
}

// plain is a task as JSON, without the members that both forms may leave out
// in their own way.
func plain(t *deputy.Task) map[string]any {
	text, err := json.Marshal(t)
	var m map[string]any
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return map[string]any{"unreadable": err.Error()}
	}
	if list, _ := m["joined"].([]any); len(list) == 0 {
		delete(m, "joined")
	}
	if params, _ := m["params"].(map[string]any); len(params) == 0 {
		delete(m, "params")
	}
	return m
}
