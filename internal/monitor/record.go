package monitor

import (
	"encoding/json"
	"time"

	"deputy"
	"deputy/internal/monitor/journal"
	"deputy/internal/monitor/state"
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
	answers []answer
}

// answer waits for a record, and is given the number that it has then.
type answer struct {
	do   func(seq uint64)
	lost func(*deputy.Error) // instead, if that cannot be said now
}

// record hands an event to the journal and changes the state by it. What
// depends on its being durable goes into durable. An end changes the state only
// once it is durable: until then the task is not forgotten.
func (m *Monitor) record(e *deputy.Event, durable func(), lost func(*deputy.Error)) {
	m.append(pending{event: e, durable: durable, lost: lost})
}

func (m *Monitor) append(p pending) {
	e := p.event
	if m.failed != nil || m.resuming != nil {
		m.unrecorded = append(m.unrecorded, p)
		return
	}
	p.seq = m.journal.Append(e)
	if e.Type == deputy.Ended {
		if t := m.task(e.Task); t != nil {
			t.Ending, t.outstanding = true, false
		}
	} else if err := m.state.Apply(e); err != nil {
		m.log.Printf("fault: %v", err)
	}
	m.pending = append(m.pending, p)
	m.fitReserve()
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
		for _, a := range p.answers {
			a.do(p.seq)
		}
	}
	if m.peer != nil {
		m.peer.Advanced()
	}
	switch {
	case m.resuming != nil && err != nil:
		m.resumeFailed(err)
	case m.resuming != nil && m.journal.Resumed():
		m.resumed()
	case m.resuming == nil && err != nil && m.failed == nil:
		m.journalFailed(err)
	}
	m.lookAtReserve()
	m.sendNewHead()
	m.leaveIfIdle()
}

// journalFailed takes back what was accepted and never acknowledged. What
// happened to tasks is recorded as soon as the journal can be written again,
// which on a full disk is now: its reserve is there for that. Nobody waits for
// the disk: see synced.
func (m *Monitor) journalFailed(err error) {
	lost := m.takeBack()
	if journal.NoRoom(err) {
		m.resuming, m.cancelled = err, lost
		_, _, _ = m.journal.Resume() // fails where there is nothing to resume
		return
	}
	m.giveUp(err, lost)
}

// giveUp says that the journal cannot be written, to all who wait for it.
func (m *Monitor) giveUp(err error, lost []pending) {
	m.failed = err
	m.log.Printf("cannot write the journal: %v; nothing new is accepted, running tasks go on", err)
	m.tell("STATUS=cannot write the journal: " + err.Error())
	for _, p := range lost {
		p.tell(deputy.Refuse(deputy.OutcomeUnknown,
			"cannot say whether the request was accepted: the journal failed while it was written; ask again with the same Idempotency-Key"))
	}
	for i := range m.unrecorded {
		m.answerUnrecorded(&m.unrecorded[i])
	}
	m.timers.After(retryJournal, m.resumeJournal)
}

// takeBack makes the state what the journal has, but for what has happened: that
// is still to be recorded. It gives the requests that were not accepted then.
func (m *Monitor) takeBack() (lost []pending) {
	for _, p := range m.pending {
		if p.event.Type == deputy.Accepted && len(p.event.Tasks) > 0 {
			m.state.Cancel(p.event)
			lost = append(lost, p)
			continue
		}
		if p.event.Key != nil { // of a call that stops tasks: not an answer yet
			m.state.Forget(state.ScopeOf(p.event.Caller, p.event.EndUser, p.event.Key.Key))
		}
		if t := m.state.Tasks[p.event.Task]; t != nil {
			t.Ending = false
		}
		m.unrecorded = append(m.unrecorded, p)
	}
	m.pending = nil
	durable := m.journal.Durable()
	for l, seq := range m.leases {
		m.leases[l] = min(seq, durable) // the numbers behind it are given anew
	}
	return lost
}

// tell tells all who wait for a record that it will not be.
func (p *pending) tell(refusal *deputy.Error) {
	if p.lost != nil {
		p.lost(refusal)
	}
	for _, a := range p.answers {
		a.lost(refusal)
	}
	p.answers = nil
}

// answerUnrecorded answers those who wait for a record that will be made, but
// nobody knows when.
func (m *Monitor) answerUnrecorded(p *pending) {
	switch t := m.task(p.event.Task); {
	case p.event.Type == deputy.NonceUsed: // reads, and refusals, go on
		for _, a := range p.answers {
			a.do(m.journal.Durable())
		}
		p.answers = nil
	case p.event.Type == deputy.StopRequested && p.durable != nil:
		p.durable() // it is stopped all the same: see requestStop
	case p.event.Type == deputy.Ended && t != nil:
		m.tellOutstanding(t)
	}
	p.tell(m.outstanding("what was asked for is being done"))
}

// outstanding refuses to say that something is recorded which is done.
func (m *Monitor) outstanding(done string) *deputy.Error {
	return deputy.Refuse(deputy.OutcomeUnknown, "cannot record it: the journal cannot be written (%v); %s, and only the record is outstanding; look again later", m.failed, done)
}

// resumeJournal tries once more to begin a new segment.
func (m *Monitor) resumeJournal() {
	m.resuming = m.failed
	_, _, _ = m.journal.Resume()
}

// resumeFailed goes on after a segment could not be begun.
func (m *Monitor) resumeFailed(err error) {
	lost := m.cancelled
	m.resuming, m.cancelled = nil, nil
	if m.failed == nil {
		m.giveUp(err, lost)
		return
	}
	m.timers.After(retryJournal, m.resumeJournal)
}

// resumed records what happened while the journal could not be written.
func (m *Monitor) resumed() {
	m.log.Printf("the journal is written again")
	late, lost := m.unrecorded, m.cancelled
	m.failed, m.resuming, m.unrecorded, m.cancelled = nil, nil, nil, nil
	m.tellServing()
	m.lookAtReserve()
	for _, p := range late {
		m.append(p)
	}
	m.goOn()
	for _, p := range lost { // cancelled for good
		p.tell(notDurable("accept", diskFull))
	}
}

// checkpoint is what a new segment of the journal begins with.
func (m *Monitor) checkpoint() *deputy.Event {
	m.state.ExpireKeys(m.age)
	m.storage.look()
	e := &deputy.Event{Type: deputy.Checkpoint}
	if m.set != nil {
		e.Policy, e.Files = m.set.Digest, m.set.Files
	}
	e.Checkpoint, _ = json.Marshal(m.state.Unended()) // no type in it can fail
	return e
}

// answer gives an outcome to whoever asked, if its server still lives.
func (m *Monitor) answer(peer *wall.Peer, r *wall.Request, seq uint64, o wall.Outcome) {
	peer.Answer(r, seq, o)
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
		peer.Answer(r, 0, wall.Outcome{Error: err})
		return
	}
	m.whenDurable(seq, func(seq uint64) { peer.Answer(r, seq, wall.Outcome{Error: err}) },
		func(lost *deputy.Error) { peer.Answer(r, 0, wall.Outcome{Error: lost}) })
}
