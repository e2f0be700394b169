package client

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"slices"
	"time"

	"deputy"
)

// Result is what became of a Run. Of several tasks, the first that did not
// succeed decides.
type Result struct {
	OK        bool // all tasks have succeeded
	Code      int  // exit code; -1: none, for a signal ended it, it still lives, …
	State     deputy.State
	Ended     bool // false: it still lives
	Reason    string
	ID        string
	Stdout    string // the last Options.Output bytes
	Stderr    string
	Truncated bool // there was more output
	Tasks     []Task
}

// What Run does where its Options are silent.
const (
	runWait   = 5 * time.Minute
	runOutput = 1 << 20 // bytes
)

// Run asks for an action and waits for its end, for at most o.Wait (5 minutes
// unless set): Result.State then tells that it still lives. A connection that
// is lost meanwhile is made again.
func (c *Client) Run(ctx context.Context, module, action string, params any, o Options) (*Result, error) {
	o.Output = cmp.Or(o.Output, runOutput)
	if o.IdempotencyKey == "" {
		var key [16]byte
		rand.Read(key[:])
		o.IdempotencyKey = hex.EncodeToString(key[:])
	}
	end := time.Now().Add(cmp.Or(o.Wait, runWait))
	for {
		left := max(0, time.Until(end))
		o.Wait = min(pollTime, left)
		tasks, status, err := c.call(ctx, module, action, params, o)
		if err != nil {
			return nil, err
		}
		if status == http.StatusOK || left == 0 {
			return resultOf(tasks), nil
		}
	}
}

func resultOf(tasks []Task) *Result {
	r := &Result{OK: true, Code: -1, Tasks: tasks}
	if len(tasks) == 0 {
		return r
	}
	t := &tasks[max(0, slices.IndexFunc(tasks, func(t Task) bool { return t.State != deputy.Succeeded }))]
	r.OK, r.State, r.Ended, r.ID = t.State == deputy.Succeeded, t.State, t.Ended != nil, t.ID
	if t.Reason != nil {
		r.Reason = *t.Reason
	}
	if t.Exit != nil && t.Exit.Code != nil {
		r.Code = *t.Exit.Code
	}
	if t.Stdout != nil && t.Stderr != nil && t.Truncated != nil {
		r.Stdout, r.Stderr, r.Truncated = *t.Stdout, *t.Stderr, *t.Truncated
	}
	return r
}
