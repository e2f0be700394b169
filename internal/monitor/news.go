package monitor

import (
	"deputy"
	"deputy/internal/monitor/keeper"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/process"
)

// What rooms tell of themselves goes to the others from here.

// noticed acts on what the ledger tells of the journal.
func (m *Monitor) noticed(n ledger.Notice) {
	switch n {
	case ledger.Advanced:
		m.warden.Advanced()
		m.leaveIfIdle()
	case ledger.TakenBack:
		m.signers.TakenBack(m.ledger.Durable())
	case ledger.Failing:
		m.manager.Status("cannot write the journal: " + m.ledger.Failed().Error())
	case ledger.Resumed:
		m.manager.Serving()
	case ledger.Short:
		m.space.Look()
	case ledger.Writable:
		m.goOn()
	}
}

// goOn does what was held back while nothing new could be recorded.
func (m *Monitor) goOn() {
	m.signers.LeaseMissed()
	m.tasks.BeginAll()
	m.warden.RoomAgain()
}

// inForce is the policy that a checkpoint tells of.
func (m *Monitor) inForce() (digest string, files []deputy.PolicyFile) {
	p := m.policy.Load()
	if p == nil {
		return "", nil
	}
	return p.Set().Digest, p.Set().Files
}

// checkpoint is what a new segment of the journal begins with.
func (m *Monitor) checkpoint() *deputy.Event {
	m.space.Look()
	return m.ledger.Checkpoint()
}

// heard takes news of a task's process tree. The host's goroutine calls it.
func (m *Monitor) heard(e process.Event) { m.loop.Post(func() { m.tasks.Heard(e) }) }

// Exited takes the word of the keeper about a process that it has reaped.
func (m *Monitor) Exited(x keeper.Exit) { m.loop.Post(func() { m.tasks.Exited(x) }) }
