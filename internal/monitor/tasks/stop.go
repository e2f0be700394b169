package tasks

import (
	"syscall"
	"time"

	"deputy"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/state"
)

// A stop is recorded before it is done, unless nothing can be recorded: then it is done
// all the same. Asked again it only becomes quicker. Whoever waits for it is told how it
// went, also when something cannot be killed.

// tellSurvivors is how long after the kill whoever waits is told what still lives.
const tellSurvivors = 5 * time.Second

// Order is why and by whom a task is to be stopped.
type Order struct {
	As      deputy.State // Stopped or TimedOut
	Why     string
	Caller  deputy.Caller
	EndUser string
	Rule    string
	Grace   *int64 // ms; nil: as declared
}

// StopFor stops a task as another action's request was accepted to; nil: none was. A
// monitor that died between the two records leaves it to the next one.
func (r *Tasks) StopFor(t *Task, o *state.Order) {
	if o != nil {
		r.Stop(t, Order{As: deputy.Stopped, Why: o.Why, Caller: o.Caller, EndUser: o.EndUser, Rule: o.Rule})
	}
}

// Stop records that a task is to be stopped, and does it once that is
// durable; with a journal that cannot be written it does it at once. Asking
// again can only shorten the grace period.
func (r *Tasks) Stop(t *Task, o Order) {
	if t.Ending || t.Phase == state.Over {
		return
	}
	if t.StopAs != "" {
		t.shorten(o.Grace)
		if t.sent {
			r.happen(t, state.Stop)
		}
		return
	}
	if t.exited { // it has ended by itself; what it left over is killed already, or now
		if t.Phase == state.Lingering {
			r.happen(t, state.Stop)
		}
		return
	}
	if t.Phase == state.Running && r.Host.Hurry(t.Leaf) { // the same, and the news is to come
		return
	}
	t.graceMS = t.Terms.GraceMS
	t.shorten(o.Grace)
	t.began = time.Now()
	e := &deputy.Event{
		Type: deputy.StopRequested, Task: t.ID, State: o.As, Reason: o.Why, Caller: o.Caller, EndUser: o.EndUser, Rule: o.Rule,
	}
	again := state.Stop
	if o.As == deputy.TimedOut {
		again = state.Deadline
	}
	stopping := func() {
		if !t.sent {
			t.sent = true
			r.happen(t, again)
		}
	}
	r.Ledger.Record(e, ledger.After{Durable: stopping, Outstanding: stopping})
	t.StopAs, t.StopWhy = o.As, o.Why // what is not recorded yet counts all the same: see record
	if r.Ledger.Failed() != nil {
		stopping()
	}
}

// shorten makes the grace period of a stop shorter, never longer.
func (t *Task) shorten(ms *int64) {
	if ms != nil && *ms < t.graceMS {
		t.graceMS = *ms
	}
}

// signal sends the stop signal to the whole tree, and lets the grace period
// run. A grace of nothing kills at once.
func (r *Tasks) signal(t *Task) {
	if t.began.IsZero() { // a stop that an earlier monitor had recorded
		t.began, t.graceMS = time.Now(), t.Terms.GraceMS
	}
	if t.graceMS > 0 {
		sig := syscall.Signal(t.Terms.Signal)
		t.receipt.Signalled = true
		leaf := t.Leaf
		r.Loop.Act(func() {
			if err := r.Host.Signal(leaf, sig); err != nil {
				r.Loop.Post(func() { r.Log.Printf("cannot signal task %s: %v", t.ID, err) })
			}
		})
	}
	t.grace = r.Loop.After(time.Duration(t.graceMS)*time.Millisecond, func() { r.happen(t, state.GraceOver) })
}

func (r *Tasks) shortenGrace(t *Task) {
	if t.grace == nil {
		return // the signal is still to come, with the new period
	}
	r.Loop.Cancel(t.grace)
	left := time.Until(t.began.Add(time.Duration(t.graceMS) * time.Millisecond))
	t.grace = r.Loop.After(max(0, left), func() { r.happen(t, state.GraceOver) })
}

// kill kills all that lives of a task; that nothing does is told by the
// host's event.
func (r *Tasks) kill(t *Task) {
	r.Loop.Cancel(t.linger)
	leaf := t.Leaf
	t.killing++
	r.Loop.Act(func() {
		killed, err := r.Host.Kill(leaf)
		r.Loop.Post(func() {
			if err != nil {
				r.Log.Printf("cannot kill task %s: %v", t.ID, err)
			}
			t.countKilled(killed)
			t.killing--
			r.settle(t)
		})
	})
	t.killed = r.Loop.After(tellSurvivors, func() { r.tellSurvivors(t) })
}

// tellSurvivors answers those who wait for a stop when something could not be
// killed: a process in an uninterruptible sleep, say. It looks again for who asks later.
func (r *Tasks) tellSurvivors(t *Task) {
	if t.Phase != state.Killing {
		return
	}
	t.killed = r.Loop.After(tellSurvivors, func() { r.tellSurvivors(t) })
	survivors := r.Host.Survivors(t.Leaf)
	if len(survivors) == 0 {
		return
	}
	receipt := t.receipt
	receipt.TookMS, receipt.Proof, receipt.Survivors = time.Since(t.began).Milliseconds(), r.Host.Proof(), survivors
	if !t.survives {
		t.survives = true
		r.Log.Printf("task %s: %d processes still live %v after they were killed, the first is %d (%s, state %s)",
			t.ID, len(survivors), tellSurvivors, survivors[0].PID, survivors[0].Comm, survivors[0].State)
	}
	t.tell(r.Ledger.Durable(), &receipt, nil)
}
