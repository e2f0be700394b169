package tasks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"deputy"
	"deputy/internal/monitor/keeper"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/process"
	"deputy/internal/monitor/state"
	"deputy/internal/output"
)

// What an earlier monitor began is neither done twice nor forgotten. Whether a process
// was born is read from what the machine still has, its leaf; of what cannot be known
// the end is unknown, with the cause, and nothing of it is left alive.

// Found is what is known of the monitor before.
type Found struct {
	Restored   bool // the journal is a copy of an older one: what became of the tasks in it is not known
	SameKeeper bool // it had the keeper that we have
}

// TakeUp takes up the tasks that an earlier monitor left, before the keeper is told
// that it may hand over what has ended meanwhile. The keeper reaps from then on, and
// knows no leaf by its task: what is recorded here must be durable before that.
func (r *Tasks) TakeUp(f Found) {
	r.found = f
	leaves, err := r.Host.Leaves()
	if err != nil {
		r.Log.Printf("cannot list what an earlier monitor left: %v", err)
	}
	exists := make(map[string]bool, len(leaves))
	for _, leaf := range leaves {
		exists[leaf] = true
		if !f.Restored {
			r.releaseEnded(leaf)
		}
	}
	if f.Restored {
		r.endStrays(leaves)
	}
	for t := range r.All() {
		r.enter(t)
	}
	for t := range r.All() {
		wasOver := t.Phase == state.Over
		r.happen(t, state.TakenUp)
		switch {
		case t.Lost:
			r.vanish(t, "the journal was restored from a back-up, which does not know what became of it")
		case t.Phase == state.Queued || t.Unborn || t.Attempt == 0: // never intended: it waited, whatever ended that
			r.queued = append(r.queued, t)
		default:
			r.takeUpStarted(t, exists, wasOver)
		}
	}
}

// Resume has those wait again that were found waiting.
func (r *Tasks) Resume() {
	for _, t := range r.queued {
		if t.Phase != state.Queued { // it was intended in another boot, or its end while it waited was not recorded
			t.PutBack()
		}
		if t.StopAs != "" {
			r.happen(t, state.Stop)
			continue
		}
		r.StopFor(t, t.Ordered)
		r.enter(t)
		r.debounce(t)
		r.begin(t)
		r.expire(t)
	}
	r.queued = nil
	r.Queues.ServeAll()
}

// releaseEnded gives back the leaf of a task whose end was recorded just before
// its monitor died. Leaves of another installation are no business of ours.
func (r *Tasks) releaseEnded(leaf string) {
	id, _, _ := strings.Cut(leaf, ".")
	if _, err := os.Stat(r.Paths.Task(id)); err == nil && r.State.Tasks[id] == nil {
		r.Descriptors.ForgetStale(leaf)
		r.Loop.Work(func() { r.Host.Release(leaf) })
	}
}

// takeUpStarted takes up a task whose start was at least intended.
func (r *Tasks) takeUpStarted(t *Task, exists map[string]bool, wasOver bool) {
	leaf := t.Leaf
	if leaf == "" {
		leaf = attemptLeaf(t.ID, t.Attempt)
	}
	switch {
	case t.Boot != "" && t.Boot != r.Loop.Boot:
		r.vanish(t, "machine restarted while it ran")
		return
	case t.Leaf == "" && t.IntentBoot != r.Loop.Boot:
		r.vanish(t, "machine restarted when it may just have been started")
		return
	}
	there := exists[leaf]
	if t.Leaf == "" && there && r.found.SameKeeper && r.Host.NeverBorn(leaf) {
		there = false
	}
	switch {
	case t.Leaf == "" && !there && wasOver:
		r.vanish(t, "deputy was ended before it could record how it ended, or why it was not started")
		return
	case t.Leaf == "" && !there && r.mayHaveRun(t):
		r.vanish(t, "deputy and its keeper were killed together when it was just being started: whether it ran is not known")
		return
	case t.Leaf == "" && !there:
		// A leaf is made before the birth and removed after the end is durable:
		// where there is none, nothing was ever born.
		if t.StopAs != "" {
			r.happen(t, state.Stop)
		}
		r.startIntended(t)
		r.StopFor(t, t.Ordered)
		return
	}
	dir := r.Paths.Task(t.ID)
	if err := r.Outputs.Add(dir, t.Terms.Cap); err != nil {
		r.Log.Printf("task %s: %v", t.ID, err)
	}
	if t.Leaf == "" {
		r.recoverBirth(t, leaf)
	}
	t.Leaf = leaf
	if err := r.Host.Adopt(process.Attempt{Leaf: leaf, PID: t.PID, BootNS: t.BootNS}); err != nil {
		r.Host.Kill(leaf) // an end means that nothing lives
		r.vanish(t, err.Error())
		return
	}
	r.happen(t, state.Found)
	r.Descriptors.Keep(leaf, true)
	if t.BootNS == 0 {
		t.BootNS = r.Loop.Now() // its birth was not recorded: its time runs from now on
	}
	if t.StopAs != "" {
		t.sent = true
		r.happen(t, state.Stop)
		return
	}
	r.setDeadline(t)
	if r.Host.Newborn(leaf) {
		r.Loop.After(process.BornWithin, func() { r.endNewborn(t) })
	}
	r.StopFor(t, t.Ordered)
}

// endNewborn ends what an earlier monitor had born, if it still has not become its program.
func (r *Tasks) endNewborn(t *Task) {
	if t.Phase == state.Running && r.Host.Newborn(t.Leaf) {
		t.failure = "cannot start: " + process.ErrNotExecuted.Error()
		r.happen(t, state.Hung)
	}
}

// mayHaveRun: a service manager removes the cgroups in which nothing lives when the
// service ends, and with its keeper it does (systemd: each below the unit's own). Then
// a task without a leaf was never born only if its output, which is made just
// before the leaf, is missing, too.
func (r *Tasks) mayHaveRun(t *Task) bool {
	_, err := os.Lstat(filepath.Join(r.Paths.Task(t.ID), output.Stdout))
	return !r.found.SameKeeper && !errors.Is(err, fs.ErrNotExist)
}

// recoverBirth records the birth of a task that an earlier monitor did not live
// to record. Where its first process is not found the record has no PID: that it
// was born must be known all the same.
func (r *Tasks) recoverBirth(t *Task, leaf string) {
	a, found := r.Host.FindFirst(leaf)
	if !found {
		a = process.Attempt{BootNS: r.Loop.Now()} // its time runs from now on
	}
	r.Ledger.Record(&deputy.Event{
		Type: deputy.Started, Task: t.ID, Attempt: t.Attempt, PID: a.PID, Leaf: leaf, Boot: r.Loop.Boot, BootNS: a.BootNS,
	}, ledger.After{})
}

// vanish ends a task of which too little is known.
func (r *Tasks) vanish(t *Task, why string) {
	t.exit = deputy.Exit{Unknown: why}
	r.happen(t, state.Vanished)
}

func attemptLeaf(id string, attempt int) string { return fmt.Sprintf("%s.%d", id, attempt) }

// Exited takes the word of the keeper about a process that it has reaped: the
// first process of a task of an earlier monitor, or an orphan. The keeper is
// told that it may forget it once the task's end is durable.
func (r *Tasks) Exited(x keeper.Exit) {
	r.Host.ForeignExit(x.PID, x.Cgroup, x.Status)
	for t := range r.All() {
		// Whether or not the kernel has told the host before the keeper told us.
		if t.PID == x.PID && strings.Contains(x.Cgroup+"/", "/"+t.Leaf+"/") {
			t.told = append(t.told, x)
			return
		}
	}
	r.Done(x)
}
