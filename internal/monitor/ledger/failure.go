package ledger

import (
	"time"

	"deputy"
	"deputy/internal/monitor/journal"
)

// A journal that fails loses no promise: what was acknowledged is durable, what was
// accepted and never acknowledged is taken back and told so, and what has happened
// to tasks is recorded as soon as it can be.

// retryJournal is how long a journal that cannot be written rests between two tries.
const retryJournal = time.Second

// Failed is why the journal cannot be written, with nobody knowing until when; nil:
// it can, or is about to be.
func (l *Ledger) Failed() error { return l.failed }

// Unwritable says why nothing is recorded but what becomes of tasks; nil:
// everything is.
func (l *Ledger) Unwritable() error {
	if l.failed != nil {
		return l.failed
	}
	if l.resuming != nil {
		return l.resuming
	}
	return l.reserve.short
}

const diskFull = "the disk is full"

// Refuse refuses what would have to be recorded, and cannot; nil: it can.
func (l *Ledger) Refuse(what string) *deputy.Error {
	switch {
	case l.failed != nil:
		return notDurable(what, l.failed.Error())
	case l.resuming != nil:
		return notDurable(what, l.resuming.Error())
	case l.reserve.short != nil:
		return notDurable(what, diskFull)
	}
	return nil
}

func notDurable(what, why string) *deputy.Error {
	e := deputy.Refuse(deputy.NotDurable, "cannot %s: it cannot be recorded, for %s; nothing was started, ask again later", what, why)
	e.RetryAfter = int(retryReserve / time.Second)
	return e
}

// Outstanding refuses to say that something is recorded which is done.
func (l *Ledger) Outstanding(done string) *deputy.Error {
	return deputy.Refuse(deputy.OutcomeUnknown, "cannot record it: the journal cannot be written (%v); %s, and only the record is outstanding; look again later", l.failed, done)
}

// journalFailed takes back what was accepted and never acknowledged. What happened
// to tasks is recorded as soon as the journal can be written again, which on a full
// disk is now: its reserve is there for that. Nobody waits for the disk: see Synced.
func (l *Ledger) journalFailed(err error) {
	lost := l.takeBack()
	if journal.NoRoom(err) {
		l.resuming, l.cancelled = err, lost
		_, _, _ = l.journal.Resume() // fails where there is nothing to resume
		return
	}
	l.giveUp(err, lost)
}

// giveUp says that the journal cannot be written, to all who wait for it.
func (l *Ledger) giveUp(err error, lost []entry) {
	l.failed = err
	l.log.Printf("cannot write the journal: %v; nothing new is accepted, running tasks go on", err)
	l.o.Tell(Failing)
	for _, p := range lost {
		p.tell(deputy.Refuse(deputy.OutcomeUnknown,
			"cannot say whether the request was accepted: the journal failed while it was written; ask again with the same Idempotency-Key"))
	}
	for i := range l.unrecorded {
		l.answerUnrecorded(&l.unrecorded[i])
	}
	l.loop.After(retryJournal, l.resumeJournal)
}

// takeBack makes the state what the journal has, but for what has happened: that
// is still to be recorded. It gives the requests that were not accepted then.
func (l *Ledger) takeBack() (lost []entry) {
	never := map[string]bool{} // tasks that there are none of any more
	for _, p := range l.pending {
		if p.event.Type == deputy.Accepted && len(p.event.Tasks) > 0 {
			l.state.Cancel(p.event)
			for _, t := range p.event.Tasks {
				never[t.ID] = never[t.ID] || !t.Joined
			}
			lost = append(lost, p)
			continue
		}
		if never[p.event.Task] { // what befell it befell nothing
			lost = append(lost, p)
			continue
		}
		l.state.Unkey(p.event) // of a call that stops tasks: not an answer yet
		if t := l.state.Tasks[p.event.Task]; t != nil {
			t.Ending = false
		}
		l.unrecorded = append(l.unrecorded, p)
	}
	l.pending = nil
	l.o.Tell(TakenBack)
	return lost
}

// tell tells all who wait for a record that it will not be.
func (p *entry) tell(refusal *deputy.Error) {
	if p.after.Lost != nil {
		p.after.Lost(refusal)
	}
	for _, a := range p.answers {
		a.lost(refusal)
	}
	p.answers = nil
}

// answerUnrecorded answers those who wait for a record that will be made, but
// nobody knows when.
func (l *Ledger) answerUnrecorded(p *entry) {
	if p.event.Type == deputy.NonceUsed { // reads, and refusals, go on
		for _, a := range p.answers {
			a.do(l.journal.Durable())
		}
		p.answers = nil
	}
	if p.after.Outstanding != nil {
		p.after.Outstanding()
	}
	p.tell(l.Outstanding("what was asked for is being done"))
}

// resumeJournal tries once more to begin a new segment.
func (l *Ledger) resumeJournal() {
	l.resuming = l.failed
	_, _, _ = l.journal.Resume()
}

// resumeFailed goes on after a segment could not be begun.
func (l *Ledger) resumeFailed(err error) {
	lost := l.cancelled
	l.resuming, l.cancelled = nil, nil
	if l.failed == nil {
		l.giveUp(err, lost)
		return
	}
	l.loop.After(retryJournal, l.resumeJournal)
}

// resumed records what happened while the journal could not be written.
func (l *Ledger) resumed() {
	l.log.Printf("the journal is written again")
	late, lost := l.unrecorded, l.cancelled
	l.failed, l.resuming, l.unrecorded, l.cancelled = nil, nil, nil, nil
	l.o.Tell(Resumed)
	l.lookAtReserve()
	for _, p := range late {
		l.append(p)
	}
	l.goOn()
	for _, p := range lost { // cancelled for good
		p.tell(notDurable("accept", diskFull))
	}
}

// goOn has done what was held back while nothing new could be recorded.
func (l *Ledger) goOn() {
	if l.Unwritable() == nil {
		l.o.Tell(Writable)
	}
}
