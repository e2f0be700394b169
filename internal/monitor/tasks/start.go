package tasks

import (
	"context"
	"deputy"
	"deputy/internal/monitor/birth"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/process"
	"deputy/internal/monitor/recheck"
	"deputy/internal/monitor/state"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A process is born only when the intent to start it is durable, and of each attempt
// once. What a birth's goroutine needs it is given by value; how it went the loop is
// told, and whatever happened meanwhile is done then.

// startIntended starts a task whose intent has become durable, unless a stop
// came in between.
func (r *Tasks) startIntended(t *Task) {
	if t.Phase == state.Starting {
		r.start(t)
	} else {
		r.happen(t, state.Stillborn)
	}
}

// start has a goroutine start a task whose intent is durable. The worker gets
// all it needs by value: the task itself belongs to the loop.
func (r *Tasks) start(t *Task) {
	var action *manifest.Action
	if module := r.Policy().Set().Modules[t.Module]; module != nil {
		action = module.Actions[t.Action]
	}
	if r.Callers.Pending(t.Task) && r.retryBirth(t) {
		return
	}
	barred, asked := r.recheck.StillAllowed(t.Task, &t.Case, func() { r.startIntended(t) })
	if asked {
		return
	}
	if action == nil && barred == (recheck.Bar{}) {
		barred = recheck.Changed()
	}
	if barred != (recheck.Bar{}) {
		t.barred = barred
		r.happen(t, state.Stillborn)
		return
	}
	now, why := r.Policy().Now(action)
	if why != "" {
		if r.Users.View().Unknown(action.RunsAs) && r.retryBirth(t) {
			return
		}
		t.failure = "it was not started: " + why
		r.happen(t, state.Stillborn)
		return
	}
	b := birth.Birth{
		Action: now, Task: t.ID, Leaf: attemptLeaf(t.ID, t.Attempt), Params: t.Params, Secret: t.Terms.Secret, OneFile: t.Terms.OneFile,
		OutputCap: t.Terms.Cap, Linger: time.Duration(t.Terms.LingerMS) * time.Millisecond,
		Context: policy.Context{
			Task: t.ID, Attempt: t.Attempt, Caller: t.Caller, EndUser: t.EndUser, NotifySocket: r.Progress,
		},
		Account: string(r.Callers.Account(t.Caller)),
	}
	if t.giving { // whatever asks for it: an attempt is born once
		r.Log.Printf("fault: task %s is to be born while it is being born; it is not born again", t.ID)
		return
	}
	t.giving = true
	r.births++
	ctx, cancel := context.WithCancel(context.Background())
	t.cancelBirth = cancel
	// Not a worker: a birth may take as long as what it touches takes to answer.
	go func() {
		defer cancel()
		attempt, err := r.Births.Start(ctx, b)
		r.Loop.Post(func() {
			r.births--
			t.giving = false
			if !errors.Is(err, birth.ErrEnding) {
				r.started(t, attempt, err)
			}
			r.Quiet()
		})
	}()
}

// started goes on after a birth, or its failure.
func (r *Tasks) started(t *Task, attempt process.Attempt, err error) {
	if err != nil && birth.Scarce(err) {
		r.Scarce()
		if r.retryBirth(t) {
			return
		}
		err = birth.Shortage(err)
	}
	if err != nil {
		t.failure = "cannot start: " + strings.TrimPrefix(err.Error(), "cannot start: ")
	}
	hangs := errors.Is(err, process.ErrNotExecuted)
	if err != nil && !hangs {
		switch {
		case errors.Is(err, process.ErrNotFound):
			t.exit = deputy.Exit{Code: new(127)}
		case errors.Is(err, process.ErrNotExecutable):
			t.exit = deputy.Exit{Code: new(126)}
		}
		r.happen(t, state.Stillborn)
		return
	}
	r.Ledger.Record(&deputy.Event{
		Type: deputy.Started, Task: t.ID, Attempt: t.Attempt,
		PID: attempt.PID, Leaf: attempt.Leaf, Boot: r.Loop.Boot, BootNS: attempt.BootNS,
	}, ledger.After{})
	t.PID, t.Leaf, t.Boot, t.BootNS = attempt.PID, attempt.Leaf, r.Loop.Boot, attempt.BootNS
	r.happen(t, state.Born)
	if hangs {
		r.happen(t, state.Hung)
	}
	early := t.early
	t.early = nil
	for _, e := range early {
		r.news(t, e)
	}
}

// setDeadline lets the task's time run out on the boot clock, from its birth.
func (r *Tasks) setDeadline(t *Task) {
	if t.Terms.TimeoutMS > 0 && t.deadline == nil {
		t.deadline = r.Loop.At(t.BootNS+t.Terms.TimeoutMS*int64(time.Millisecond), func() {
			r.Stop(t, Order{As: deputy.TimedOut, Why: fmt.Sprintf("its time of %v was over", time.Duration(t.Terms.TimeoutMS)*time.Millisecond)})
		})
	}
}

// retryBirth tries once more, later; false: it was tried long enough.
func (r *Tasks) retryBirth(t *Task) bool {
	return r.retry(t, func() { r.startIntended(t) })
}

func (r *Tasks) retry(t *Task, do func()) bool {
	now := r.Loop.Now()
	if t.tried == 0 {
		t.tried, t.pause = now, birth.RetryFirst
	}
	if now-t.tried >= int64(birth.RetryFor) {
		return false
	}
	r.Loop.After(t.pause, do)
	t.pause = min(2*t.pause, birth.RetryLast)
	return true
}
