package monitor

import (
	"encoding/json"
	"time"

	"deputy"
	"deputy/internal/wall"
)

// retryJournal is how long a journal that cannot be written rests between two tries.
const retryJournal = time.Second

// pending is an event that was handed to the journal.
type pending struct {
	seq     uint64
	event   *deputy.Event
	durable func()              // once it is; may be nil
	lost    func(*deputy.Error) // Accepted alone: it never will be
}

// record hands an event to the journal and changes the state by it. What
// depends on its being durable goes into durable. An end changes the state only
// once it is durable: until then the task is not forgotten.
func (m *Monitor) record(e *deputy.Event, durable func(), lost func(*deputy.Error)) {
	p := pending{event: e, durable: durable, lost: lost}
	if m.failed != nil {
		m.unrecorded = append(m.unrecorded, p)
		return
	}
	p.seq = m.journal.Append(e)
	if e.Type == deputy.Ended {
		if t := m.state.Tasks[e.Task]; t != nil {
			t.ending = true
		}
	} else if err := m.state.Apply(e); err != nil {
		m.log.Printf("fault: %v", err)
	}
	m.pending = append(m.pending, p)
}

// synced is called after the journal wrote, or failed to.
func (m *Monitor) synced() {
	err := m.journal.Err() // before Durable: what was durable when it failed is not lost
	durable := m.journal.Durable()
	n := 0
	for n < len(m.pending) && m.pending[n].seq <= durable {
		n++
	}
	ready := m.pending[:n]
	m.pending = m.pending[n:]
	for _, p := range ready {
		if p.event.Type == deputy.Ended {
			m.state.Apply(p.event)
		}
		if p.durable != nil {
			p.durable()
		}
	}
	if m.peer != nil {
		m.peer.Advanced()
	}
	if err != nil && m.failed == nil {
		m.journalFailed(err)
	}
	m.leaveIfIdle()
}

// journalFailed takes back what was accepted and never acknowledged. What
// happened to tasks is recorded as soon as the journal can be written again.
func (m *Monitor) journalFailed(err error) {
	m.failed = err
	m.log.Printf("cannot write the journal: %v; nothing new is accepted, running tasks go on", err)
	for _, p := range m.pending {
		if p.event.Type == deputy.Accepted {
			m.state.cancel(p.event)
			if p.lost != nil {
				p.lost(deputy.Refuse(deputy.OutcomeUnknown,
					"cannot say whether the request was accepted: the journal failed while it was written; ask again with the same Idempotency-Key"))
			}
			continue
		}
		if t := m.state.Tasks[p.event.Task]; t != nil {
			t.ending = false
		}
		m.unrecorded = append(m.unrecorded, p)
	}
	m.pending = nil
	m.timers.after(retryJournal, m.resumeJournal)
}

// resumeJournal tries to begin a new segment, then records what happened meanwhile.
func (m *Monitor) resumeJournal() {
	if _, _, err := m.journal.Resume(); err != nil {
		m.timers.after(retryJournal, m.resumeJournal)
		return
	}
	m.log.Printf("the journal is written again")
	m.failed = nil
	late := m.unrecorded
	m.unrecorded = nil
	for _, p := range late {
		m.record(p.event, p.durable, p.lost)
	}
}

// checkpoint is what a new segment of the journal begins with.
func (m *Monitor) checkpoint() *deputy.Event {
	m.state.expireKeys(time.Now())
	e := &deputy.Event{Type: deputy.Checkpoint}
	if m.set != nil {
		e.Policy, e.Files = m.set.Digest, m.set.Files
	}
	e.Checkpoint, _ = json.Marshal(m.state.unended()) // no type in it can fail
	return e
}

// unended is the state without tasks whose end stands in the journal already.
func (s *State) unended() *State {
	live := make(map[string]*Task, len(s.Tasks))
	for id, t := range s.Tasks {
		if !t.ending {
			live[id] = t
		}
	}
	return &State{Tasks: live, Keys: s.Keys, Nonces: s.Nonces, Boot: s.Boot, Drains: s.Drains}
}

// answer gives an outcome to whoever asked, if its server still lives.
func (m *Monitor) answer(peer *wall.Peer, r *wall.Request, seq uint64, o wall.Outcome) {
	peer.Answer(r.ID, seq, o)
}

func (m *Monitor) refuse(peer *wall.Peer, r *wall.Request, err *deputy.Error) {
	m.refuseAfter(0, peer, r, err)
}

// refuseAfter answers with a refusal once the record seq is durable, and for a
// signed request once it is durable that the next monitor will not do what this
// one refused.
func (m *Monitor) refuseAfter(seq uint64, peer *wall.Peer, r *wall.Request, err *deputy.Error) {
	if r.Nonce != nil && !reads(r) {
		seq = max(seq, m.lease(r))
	}
	if seq == 0 {
		peer.Answer(r.ID, 0, wall.Outcome{Error: err})
		return
	}
	m.whenDurable(seq, func() { peer.Answer(r.ID, seq, wall.Outcome{Error: err}) },
		func(lost *deputy.Error) { peer.Answer(r.ID, 0, wall.Outcome{Error: lost}) })
}
