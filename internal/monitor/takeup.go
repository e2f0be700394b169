package monitor

import (
	"deputy/internal/monitor/state"
	"deputy/internal/monitor/tasks"
	"maps"
	"strings"
)

// What an earlier monitor left is taken up before anybody is served: tasks, sockets, and
// descriptors that others hold.

// takeUp takes up the tasks that an earlier monitor left; restored: of a journal that is
// a restored copy.
func (m *Monitor) takeUp(restored bool) {
	m.tasks.TakeUp(tasks.Found{Restored: restored, SameKeeper: !m.first()})
	// The keeper reaps from now on, and knows no leaf by its task: what was found
	// out must outlive us, on a full disk too.
	if m.journal.Flush() == nil && restored {
		if err := m.o.Paths.NotePlace(); err != nil {
			m.o.Log.Printf("%v; the next start takes the journal for a restored one again", err)
		}
	}
	m.ledger.Synced()
	m.sockets.CloseOthers()
	m.manager.Inherit(m.link.Held(), m.link.Inherited(), m.lives)
	m.tasks.Resume()
}

// lives says whether a leaf is that of a task that has not ended.
func (m *Monitor) lives(leaf string) bool {
	id, _, _ := strings.Cut(leaf, ".")
	t := m.state.Tasks[id]
	return t != nil && t.Leaf == leaf && t.Phase != state.Over
}

// liveIDs gives the ids of the tasks that live, and of those that are about to.
func (m *Monitor) liveIDs() map[string]bool {
	ids := maps.Clone(m.vault.IDs())
	for id := range m.state.Tasks {
		ids[id] = true
	}
	return ids
}
