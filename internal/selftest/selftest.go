// Package selftest holds deputy's promises against the machine it runs on: on a
// private instance of deputyd, in a directory of its own, with real tasks, whose
// server, monitor and keeper are killed under load.
//
// It is a small sibling of the fault harness (test/faults): what it finds is not
// whether deputy is right, but whether it is right here, on this kernel, this
// disk and these programs. It touches no other instance and leaves nothing.
package selftest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Options says what to run.
type Options struct {
	Daemon string       // deputyd
	Cycles int          // rounds; each kills server, monitor and keeper once
	Say    func(string) // told what is being done; may be nil
}

// Line is what became of one promise.
type Line struct {
	Promise  int    `json:"promise"`
	Text     string `json:"text"` // the promise, in short
	Kept     bool   `json:"kept"`
	Measured string `json:"measured"`
}

// Report is the outcome of a run.
type Report struct {
	Lines  []Line        `json:"promises"`
	Took   time.Duration `json:"-"`
	Proof  string        `json:"proof"` // what "nothing lives" rests on here
	Cycles int           `json:"cycles"`
}

// MarshalJSON writes Took in milliseconds.
func (r *Report) MarshalJSON() ([]byte, error) {
	type plain Report
	return json.Marshal(struct {
		*plain
		OK     bool  `json:"ok"`
		TookMS int64 `json:"took_ms"`
	}{(*plain)(r), r.OK(), r.Took.Milliseconds()})
}

// OK says whether every promise was kept.
func (r *Report) OK() bool {
	for _, l := range r.Lines {
		if !l.Kept {
			return false
		}
	}
	return true
}

// promises are what is measured, as SECURITY.md numbers them.
var promises = [...]string{
	1: "what was answered was on the disk before",
	2: "a task is started at most once",
	3: "one end for each task, exit codes exact or unknown",
	4: "once a task has ended, nothing of it lives",
	5: "one live task for a lock, the same key gives the same task",
	6: "output is an exact beginning and end",
	7: "nothing runs without a record, made before",
	8: "every edit of the journal is found",
}

// verdict is a promise's line: kept if nothing is wrong, otherwise the first of
// what is.
func verdict(promise int, wrong []string, format string, args ...any) Line {
	l := Line{Promise: promise, Text: promises[promise], Kept: len(wrong) == 0, Measured: fmt.Sprintf(format, args...)}
	if !l.Kept {
		l.Measured = wrong[0]
		if len(wrong) > 1 {
			l.Measured += fmt.Sprintf(" (and %d more)", len(wrong)-1)
		}
	}
	return l
}

// Time that a run may take before it is given up.
const (
	baseTime  = 2 * time.Minute
	cycleTime = 30 * time.Second
)

// Run does it all. The error means that it could not be done, not that a promise
// was broken; its text ends with what the daemon said.
func Run(ctx context.Context, o Options) (*Report, error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	ctx, cancel := context.WithTimeout(ctx, baseTime+time.Duration(o.Cycles)*cycleTime)
	defer cancel()
	began := time.Now()
	r, err := run(ctx, o)
	if err != nil {
		return nil, err
	}
	r.Took = time.Since(began)
	return r, nil
}
