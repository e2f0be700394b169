package monitor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"deputy"
	"deputy/internal/monitor/clock"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/process"
	"deputy/internal/monitor/state"
	"deputy/internal/output"
)

// heard takes news of a task's process tree. The host's goroutine calls it.
func (m *Monitor) heard(e process.Event) {
	m.post(func() {
		id, _, _ := strings.Cut(e.Leaf, ".")
		t := m.task(id)
		if t == nil || t.Lost || t.Leaf != "" && t.Leaf != e.Leaf {
			return
		}
		if t.Phase == state.Starting || t.Phase == state.Stopping && t.Leaf == "" {
			t.early = append(t.early, e) // it ended before the worker that started it has reported
			return
		}
		m.news(t, e)
	})
}

func (m *Monitor) news(t *Task, e process.Event) {
	switch e.Kind {
	case process.Exited:
		t.exited, t.exit = true, e.Exit
		t.countKilled(e.Leftover)
		if !t.empty {
			m.happen(t, state.Exited)
		}
	case process.Empty:
		t.empty = true
		if !t.exited {
			m.happen(t, state.Emptied)
		}
	}
	m.settle(t)
}

// letLinger gives what outlived a first process its time to end by itself: a filter
// that its output runs through has the last lines still to write.
func (m *Monitor) letLinger(t *Task) {
	if t.Terms.LingerMS == 0 {
		m.happen(t, state.LingerOver)
		return
	}
	t.linger = m.loop.After(time.Duration(t.Terms.LingerMS)*time.Millisecond, func() { m.happen(t, state.LingerOver) })
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
func (m *Monitor) settle(t *Task) {
	if t.exited && t.empty && t.killing == 0 && t.Phase != state.Over {
		m.happen(t, state.Gone)
	}
}

// finishTask finds out what is left of a task's output, then records its end.
func (m *Monitor) finishTask(t *Task) {
	for _, timer := range []*clock.Timer{t.expiry, t.deadline, t.grace, t.linger, t.killed} {
		m.loop.Cancel(timer)
	}
	dir, limit := m.o.Paths.Task(t.ID), t.Terms.Cap
	m.loop.Work(func() {
		m.capper.Finish(dir, limit, func(stdout, stderr deputy.Output, err error) {
			m.post(func() {
				if err != nil {
					m.log.Printf("task %s: %v", t.ID, err)
				}
				m.recordEnd(t, stdout, stderr)
			})
		})
	})
}

func (m *Monitor) recordEnd(t *Task, stdout, stderr deputy.Output) {
	e := &deputy.Event{Type: deputy.Ended, Task: t.ID, Attempt: t.Attempt, Left: t.leftover, Out: &stdout, Err: &stderr}
	if t.exit != (deputy.Exit{}) {
		e.Exit = &t.exit
	}
	e.State, e.Reason = t.end()
	if t.StopAs != "" {
		t.receipt.Empty, t.receipt.Proof = true, m.host.Proof()
		if !t.began.IsZero() {
			t.receipt.TookMS = time.Since(t.began).Milliseconds()
		}
		e.Receipt = &t.receipt
	}
	m.ledger.Record(e, ledger.After{Durable: func() { m.ended(t, e) }, Outstanding: func() { m.tellOutstanding(t) }})
	t.finished = true
	if m.ledger.Failed() != nil {
		m.tellOutstanding(t)
		m.leaveIfIdle()
	}
}

// outstanding says whether nothing of a task lives, and its end cannot be recorded.
func (m *Monitor) outstanding(t *Task) bool {
	return t.finished && !t.Ending && m.ledger.Failed() != nil
}

// tellOutstanding answers those who wait for the end of a task, of which nothing
// lives, but whose end cannot be recorded now.
func (m *Monitor) tellOutstanding(t *Task) {
	for _, wait := range t.waiters {
		wait(0, nil, m.ledger.Outstanding("nothing of task "+t.ID+" lives"))
	}
	t.waiters = nil
}

// end names the state in which a task ends, and why unless it succeeded. A stop
// that was recorded before the exit was seen decides.
func (t *Task) end() (deputy.State, string) {
	switch {
	case t.StopAs != "":
		return t.StopAs, t.StopWhy
	case t.failure != "":
		return deputy.Failed, t.failure
	case t.exit.Unknown != "":
		return deputy.Unknown, t.exit.Unknown
	case t.exit.Signal != "":
		return deputy.Failed, "it was killed by " + t.exit.Signal
	case t.exit.Code == nil:
		return deputy.Unknown, "its status was not found"
	case slices.Contains(t.Terms.Success, *t.exit.Code):
		return deputy.Succeeded, ""
	}
	return deputy.Failed, fmt.Sprintf("it exited with code %d", *t.exit.Code)
}

// ended goes on once a task's end is durable: whoever waited is told, and the
// next for its lock begins.
func (m *Monitor) ended(t *Task, e *deputy.Event) {
	delete(m.tasks, t.ID)
	for _, wait := range t.waiters {
		wait(e.Seq, nil, nil)
	}
	t.waiters = nil
	for _, x := range t.told {
		m.link.Done(x)
	}
	m.log.Printf("task=%s %s/%s %s%s%s%s", t.ID, t.Module, t.Action, e.State, because(e.Reason), rewrote(e), outlived(e.Left))
	leaf, left := t.Leaf, m.leavingsOf(t, e)
	m.forgetPidfd(leaf) // before its release: a leaf that is there tells the next monitor to
	dir := m.o.Paths.Task(t.ID)
	m.loop.Work(func() {
		if leaf != "" {
			m.host.Release(leaf)
		}
		if left.secret {
			os.Remove(filepath.Join(dir, secretsFile))
		}
		m.capper.Beside(func() { m.shelve(left) })
	})
	if t.Lock != nil {
		if next := m.state.LockOf(t.Task).Holder; next != nil {
			m.beginQueued(m.task(next.ID))
		}
	}
}

// rewrote says which of its outputs the task itself did away with.
func rewrote(e *deputy.Event) string {
	text, names := "", [...]string{output.Stdout, output.Stderr}
	for i, out := range [...]*deputy.Output{e.Out, e.Err} {
		if name := names[i]; out.Rewritten {
			text += fmt.Sprintf("; it cut or rewrote its own %s, as > /dev/%s does (>> does not)", name, name)
		}
	}
	return text
}

// outlived says that something was killed which may have been meant to stay.
func outlived(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "; 1 process outlived its first one and was killed"
	}
	return fmt.Sprintf("; %d processes outlived its first one and were killed", n)
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
