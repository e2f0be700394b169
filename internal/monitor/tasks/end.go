package tasks

import (
	"strings"
	"time"

	"deputy"
	"deputy/internal/monitor/clock"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/process"
	"deputy/internal/monitor/state"
)

// A task has one end, recorded once: when its status is known, nothing of it lives and
// all kills are counted. Only when that is durable is anybody told, is its lock
// another's, and is its leaf given back.

// Heard takes news of a task's process tree.
func (r *Tasks) Heard(e process.Event) {
	id, _, _ := strings.Cut(e.Leaf, ".")
	t := r.Get(id)
	if t == nil || t.Lost || t.Leaf != "" && t.Leaf != e.Leaf {
		return
	}
	if t.Phase == state.Starting || t.Phase == state.Stopping && t.Leaf == "" {
		t.early = append(t.early, e) // it ended before the worker that started it has reported
		return
	}
	r.news(t, e)
}

func (r *Tasks) news(t *Task, e process.Event) {
	switch e.Kind {
	case process.Exited:
		t.exited, t.exit = true, e.Exit
		t.countKilled(e.Leftover)
		if !t.empty {
			r.happen(t, state.Exited)
		}
	case process.Empty:
		t.empty = true
		if !t.exited {
			r.happen(t, state.Emptied)
		}
	}
	r.settle(t)
}

// letLinger gives what outlived a first process its time to end by itself: a filter
// that its output runs through has the last lines still to write.
func (r *Tasks) letLinger(t *Task) {
	if t.Terms.LingerMS == 0 {
		r.happen(t, state.LingerOver)
		return
	}
	t.linger = r.Loop.After(time.Duration(t.Terms.LingerMS)*time.Millisecond, func() { r.happen(t, state.LingerOver) })
}

// countKilled adds to the receipt after a stop, to the leftovers otherwise.
func (t *Task) countKilled(n int) {
	if t.StopAs != "" {
		t.receipt.Killed += n
	} else {
		t.leftover += n
	}
}

// settle ends a task once its status is known, nothing of it lives, and every
// kill has been counted.
func (r *Tasks) settle(t *Task) {
	if t.exited && t.empty && t.killing == 0 && t.Phase != state.Over {
		r.happen(t, state.Gone)
	}
}

// finish finds out what is left of a task's output, then records its end.
func (r *Tasks) finish(t *Task) {
	for _, timer := range []*clock.Timer{t.expiry, t.ripens, t.deadline, t.grace, t.linger, t.killed} {
		r.Loop.Cancel(timer)
	}
	dir, limit := r.Paths.Task(t.ID), t.Terms.Cap
	r.Loop.Work(func() {
		r.Outputs.Finish(dir, limit, func(stdout, stderr deputy.Output, err error) {
			r.Loop.Post(func() {
				if err != nil {
					r.Log.Printf("task %s: %v", t.ID, err)
				}
				r.recordEnd(t, stdout, stderr)
			})
		})
	})
}

func (r *Tasks) recordEnd(t *Task, stdout, stderr deputy.Output) {
	e := &deputy.Event{Type: deputy.Ended, Task: t.ID, Attempt: t.Attempt, Left: t.leftover, Out: &stdout, Err: &stderr}
	if t.exit != (deputy.Exit{}) {
		e.Exit = &t.exit
	}
	if e.State, e.Reason = t.barred.As, t.barred.Why; e.State == "" || t.StopAs != "" {
		e.State, e.Reason = t.End(t.failure, t.exit)
	}
	if t.StopAs != "" {
		t.receipt.Empty, t.receipt.Proof = true, r.Host.Proof()
		if !t.began.IsZero() {
			t.receipt.TookMS = time.Since(t.began).Milliseconds()
		}
		e.Receipt = &t.receipt
	}
	r.Ledger.Record(e, ledger.After{Durable: func() { r.ended(t, e) }, Outstanding: func() { r.tellOutstanding(t) }})
	t.finished = true
	if r.Ledger.Failed() != nil {
		r.tellOutstanding(t)
		r.Quiet()
	}
}

// outstanding says whether nothing of a task lives, and its end cannot be recorded.
func (r *Tasks) outstanding(t *Task) bool {
	return t.finished && !t.Ending && r.Ledger.Failed() != nil
}

// tellOutstanding answers those who wait for the end of a task, of which nothing
// lives, but whose end cannot be recorded now.
func (r *Tasks) tellOutstanding(t *Task) {
	t.tell(0, nil, r.Ledger.Outstanding("nothing of task "+t.ID+" lives"))
}

// Waiter is told how a stop went: the record of the end, or what survives, or why
// neither can be said.
type Waiter func(seq uint64, survives *deputy.Receipt, refusal *deputy.Error)

// Await has a waiter told when a task has ended, or cannot. told: it was, at once.
func (r *Tasks) Await(t *Task, w Waiter) (told bool) {
	t.waiters = append(t.waiters, w)
	if told = r.outstanding(t); told {
		r.tellOutstanding(t)
	}
	return told
}

// tell tells all who wait.
func (t *Task) tell(seq uint64, survives *deputy.Receipt, refusal *deputy.Error) {
	for _, wait := range t.waiters {
		wait(seq, survives, refusal)
	}
	t.waiters = nil
}

// ended goes on once a task's end is durable: whoever waited is told, and the
// next for its lock begins.
func (r *Tasks) ended(t *Task, e *deputy.Event) {
	delete(r.live, t.ID)
	t.tell(e.Seq, nil, nil)
	for _, x := range t.told {
		r.Done(x)
	}
	r.Log.Printf("task=%s %s/%s %s", t.ID, t.Module, t.Action, state.Words(e))
	leaf, tidy := t.Leaf, r.Left(t.Task, e)
	r.Descriptors.Forget(leaf) // before its release: a leaf that is there tells the next monitor to
	r.Loop.Work(func() {
		if leaf != "" {
			r.Host.Release(leaf)
		}
		tidy()
	})
	r.Queues.Leave(t.ID)
	if t.Lock != nil {
		if next := r.State.LockOf(t.Task).Holder; next != nil {
			r.goOn(r.Get(next.ID))
		}
	}
}
