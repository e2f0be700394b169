package monitor

import (
	"cmp"

	"deputy"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/policy"
	"deputy/internal/wall"
)

// drainAsked serves POST /v1/drain. While deputy drains no new task is made: not
// for a call, whatever its action. All else goes on: what was accepted runs,
// also what waits for its turn; who asks for what lives joins it; a repeated
// Idempotency-Key gives its tasks; tasks are read and stopped.
//
// It lasts until it is ended, or the service is started anew; a monitor that
// follows one that died finds it in the journal.
func (m *Monitor) drainAsked(a asked) {
	if refusal := m.ledger.Refuse("drain"); refusal != nil { // and nothing new is taken as it is
		a.Reply.Refuse(0, refusal)
		return
	}
	m.drain(a.R.On, a.ID)
	m.ledger.WhenDurable(m.ledger.Last(), func(seq uint64) {
		a.Reply.Answer(seq, wall.Outcome{Drain: &deputy.Drain{Draining: m.state.Drains, Live: len(m.state.Tasks)}})
	}, func(err *deputy.Error) { a.Reply.Refuse(0, err) })
}

// drain takes nothing new from now on, or requests again. Nobody's identity is the
// service manager's.
func (m *Monitor) drain(on bool, id policy.Identity) {
	if m.state.Drains == on {
		return
	}
	e := &deputy.Event{Type: deputy.DrainOff, Caller: id.Caller, EndUser: id.EndUser}
	if on {
		e.Type = deputy.DrainOn
	}
	if id.Caller == "" {
		e.Reason = "ordered by the service manager"
	}
	m.ledger.Record(e, ledger.After{Durable: func() { m.drainChanged(e) }})
}

// drainChanged tells of it once it is durable.
func (m *Monitor) drainChanged(e *deputy.Event) {
	on := e.Type == deputy.DrainOn
	m.warden.Draining(on)
	who := cmp.Or(string(e.Caller), "the service manager")
	if on {
		m.o.Log.Printf("%s drains deputy: nothing new is taken, %d tasks live", who, len(m.state.Tasks))
	} else {
		m.o.Log.Printf("%s ends the drain: requests are taken again", who)
	}
}
