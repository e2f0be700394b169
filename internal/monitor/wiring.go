package monitor

import (
	"os"
	"time"

	"deputy"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/space"
	"deputy/internal/monitor/state"
	"deputy/internal/monitor/vault"
	"deputy/internal/monitor/warden"
)

// What rooms are given of one another goes through here: a room knows none beside it
// that it could not stand without.

// newWarden makes the warden of our server.
func (m *Monitor) newWarden() *warden.Warden {
	return warden.New(warden.Options{
		Paths: m.o.Paths, Up: m.o.Up, Confiner: m.o.Confiner, Started: deputy.Time{Time: m.o.Now()}.String(), Log: m.o.Log,
		Lost: m.callers.Users.Lost, Progress: func() *os.File { return m.sockets.Progress() },
		Loop: m.loop, Hear: m.requests.Hear, Serving: m.manager.Serving,
		Now: func() warden.Now {
			return warden.Now{Set: m.policy.Load().Set(), Draining: m.state.Drains, Keyed: m.signers.Any(), Short: m.ledger.Lacks() > 0}
		},
	})
}

// newSpace makes the keeper of the disk.
func (m *Monitor) newSpace() *space.Keeper {
	return space.New(space.Options{
		Tasks: m.o.Paths.Tasks(), Log: m.o.Log, Loop: m.loop,
		Live: m.liveIDs, Lacks: m.ledger.Lacks, Retire: m.ledger.RetireSegments,
		Removed: func(ids []string) {
			m.ledger.Record(&deputy.Event{Type: deputy.OutputRemoved, IDs: ids}, ledger.After{})
		},
	})
}

// left says what becomes of what a task that has ended leaves in its directory. A
// worker calls tidy.
func (m *Monitor) left(t *state.Task, e *deputy.Event) (tidy func()) {
	empty := func(o *deputy.Output) bool { return o.Bytes == 0 && !o.Rewritten }
	l := space.Leavings{
		ID: t.ID, Account: m.callers.Account(t.Caller), Keep: time.Duration(t.Terms.KeepMS) * time.Millisecond,
		NoStdout: empty(e.Out), NoStderr: empty(e.Err), Secret: t.Terms.Secret,
	}
	return func() {
		if l.Secret {
			vault.Forget(m.o.Paths.Task(l.ID))
		}
		m.machine.capper.Beside(func() { m.space.Shelve(l) })
	}
}
