package monitor

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

// recover takes up the tasks that an earlier monitor left, before the keeper is
// told that it may hand over what has ended meanwhile.
func (m *Monitor) recover() {
	leaves, err := m.host.Leaves()
	if err != nil {
		m.log.Printf("cannot list what an earlier monitor left: %v", err)
	}
	exists := make(map[string]bool, len(leaves))
	for _, leaf := range leaves {
		exists[leaf] = true
		if !m.restored {
			m.releaseEnded(leaf)
		}
	}
	if m.restored {
		m.endStrays(leaves)
	}
	var queued []*Task
	for t := range m.all() {
		wasOver := t.Phase == state.Over
		m.happen(t, state.TakenUp)
		if t.Lost {
			m.unknown(t, "the journal was restored from a back-up, which does not know what became of it")
		} else if t.Phase == state.Queued || t.Unborn {
			queued = append(queued, t)
		} else {
			m.recoverStarted(t, exists, wasOver)
		}
	}
	// The keeper reaps from now on, and knows no leaf by its task: what was found
	// out must outlive us, on a full disk too.
	if m.journal.Flush() == nil && m.restored {
		if err := m.o.Paths.NotePlace(); err != nil {
			m.log.Printf("%v; the next start takes the journal for a restored one again", err)
		}
	}
	m.ledger.Synced()
	m.sockets.CloseOthers()
	m.inherit()
	for _, t := range queued {
		if t.Unborn { // it was intended in another boot: it is intended anew
			t.PutBack()
		}
		if t.StopAs != "" {
			m.happen(t, state.Stop)
			continue
		}
		m.beginQueued(t)
		m.expireQueued(t)
	}
}

// releaseEnded gives back the leaf of a task whose end was recorded just before
// its monitor died. Leaves of another installation are no business of ours.
func (m *Monitor) releaseEnded(leaf string) {
	id, _, _ := strings.Cut(leaf, ".")
	if _, err := os.Stat(m.o.Paths.Task(id)); err == nil && m.state.Tasks[id] == nil {
		m.tell("FDSTOREREMOVE=1", "FDNAME="+leaf)
		m.loop.Work(func() { m.host.Release(leaf) })
	}
}

// recoverStarted takes up a task whose start was at least intended.
func (m *Monitor) recoverStarted(t *Task, exists map[string]bool, wasOver bool) {
	leaf := t.Leaf
	if leaf == "" {
		leaf = attemptLeaf(t.ID, t.Attempt)
	}
	switch {
	case t.Boot != "" && t.Boot != m.loop.Boot:
		m.unknown(t, "machine restarted while it ran")
		return
	case t.Leaf == "" && t.IntentBoot != m.loop.Boot:
		m.unknown(t, "machine restarted when it may just have been started")
		return
	}
	there := exists[leaf]
	if t.Leaf == "" && there && m.sameKeeper() && m.host.NeverBorn(leaf) {
		there = false
	}
	switch {
	case t.Leaf == "" && !there && wasOver:
		m.unknown(t, "deputy was ended before it could record how it ended, or why it was not started")
		return
	case t.Leaf == "" && !there && m.mayHaveRun(t):
		m.unknown(t, "deputy and its keeper were killed together when it was just being started: whether it ran is not known")
		return
	case t.Leaf == "" && !there:
		// A leaf is made before the birth and removed after the end is durable:
		// where there is none, nothing was ever born.
		if t.StopAs != "" {
			m.happen(t, state.Stop)
		}
		m.startIntended(t)
		return
	}
	dir := m.o.Paths.Task(t.ID)
	if err := m.capper.Add(dir, t.Terms.Cap); err != nil {
		m.log.Printf("task %s: %v", t.ID, err)
	}
	if t.Leaf == "" {
		m.recoverBirth(t, leaf)
	}
	t.Leaf = leaf
	if err := m.host.Adopt(process.Attempt{Leaf: leaf, PID: t.PID, BootNS: t.BootNS}); err != nil {
		m.host.Kill(leaf) // an end means that nothing lives
		m.unknown(t, err.Error())
		return
	}
	m.happen(t, state.Found)
	m.keepPidfd(t, true)
	if t.BootNS == 0 {
		t.BootNS = m.loop.Now() // its birth was not recorded: its time runs from now on
	}
	if t.StopAs != "" {
		t.sent = true
		m.happen(t, state.Stop)
		return
	}
	m.setDeadline(t)
	if m.host.Newborn(leaf) {
		m.loop.After(process.BornWithin, func() { m.endNewborn(t) })
	}
}

// endNewborn ends what an earlier monitor had born, if it still has not become its program.
func (m *Monitor) endNewborn(t *Task) {
	if t.Phase == state.Running && m.host.Newborn(t.Leaf) {
		t.failure = "cannot start: " + process.ErrNotExecuted.Error()
		m.happen(t, state.Hung)
	}
}

// mayHaveRun: a service manager removes the cgroups in which nothing lives when the
// service ends, and with its keeper it does (systemd: each below the unit's own). Then
// a task without a leaf was never born only if its output, which is made just
// before the leaf, is missing, too.
func (m *Monitor) mayHaveRun(t *Task) bool {
	_, err := os.Lstat(filepath.Join(m.o.Paths.Task(t.ID), output.Stdout))
	return !m.sameKeeper() && !errors.Is(err, fs.ErrNotExist)
}

// sameKeeper says whether the keeper is that of the monitor before us.
func (m *Monitor) sameKeeper() bool { return len(m.link.Held()) > 0 }

// recoverBirth records the birth of a task that an earlier monitor did not live
// to record. Where its first process is not found the record has no PID: that it
// was born must be known all the same.
func (m *Monitor) recoverBirth(t *Task, leaf string) {
	a, found := m.host.FindFirst(leaf)
	if !found {
		a = process.Attempt{BootNS: m.loop.Now()} // its time runs from now on
	}
	m.ledger.Record(&deputy.Event{
		Type: deputy.Started, Task: t.ID, Attempt: t.Attempt, PID: a.PID, Leaf: leaf, Boot: m.loop.Boot, BootNS: a.BootNS,
	}, ledger.After{})
}

// unknown ends a task of which too little is known.
func (m *Monitor) unknown(t *Task, why string) {
	t.exit = deputy.Exit{Unknown: why}
	m.happen(t, state.Vanished)
}

func attemptLeaf(id string, attempt int) string { return fmt.Sprintf("%s.%d", id, attempt) }

// Exited takes the word of the keeper about a process that it has reaped: the
// first process of a task of an earlier monitor, or an orphan. The keeper is
// told that it may forget it once the task's end is durable.
func (m *Monitor) Exited(x keeper.Exit) {
	m.post(func() {
		m.host.ForeignExit(x.PID, x.Cgroup, x.Status)
		for t := range m.all() {
			// Whether or not the kernel has told the host before the keeper told us.
			if t.PID == x.PID && strings.Contains(x.Cgroup+"/", "/"+t.Leaf+"/") {
				t.told = append(t.told, x)
				return
			}
		}
		m.link.Done(x)
	})
}
