package monitor

import (
	"errors"
	"time"

	"deputy"
	"deputy/internal/monitor/clock"
)

// What the journal's reserve must hold, in bytes: what a new segment begins
// with, and all that is still to be recorded of the tasks that live. Nothing
// else is recorded while the journal lives on it: see unwritable.
const (
	reserveStep    = 1 << 20   // it grows and shrinks by whole ones
	reserveBase    = 256 << 10 // starts of the monitor, retirements, the cancelled record
	retryReserve   = time.Second
	reservePercent = 150 // of what is needed: what comes while it grows
)

// reserve is how the journal's reserve stands, as the loop knows it.
type reserve struct {
	asked   int64 // bytes
	short   error // why it is not whole; nil: it is
	without bool  // the file system can keep none, which was said
	retry   *clock.Timer
	server  bool // the server that lives was started meanwhile: its history may be in memory
}

// fitReserve has the reserve follow the state.
func (m *Monitor) fitReserve() {
	need := m.reserveNeeded()
	if need <= m.reserve.asked && need > m.reserve.asked/4-reserveStep {
		return
	}
	m.reserve.asked = (need*reservePercent/100/reserveStep + 1) * reserveStep
	m.journal.Reserve(m.reserve.asked)
}

func (m *Monitor) reserveNeeded() int64 {
	need := reserveBase + m.state.Reserve()
	for _, f := range m.set.Files {
		need += int64(len(f.Path) + len(f.Text))
	}
	return need
}

// unwritable says why nothing is recorded but what becomes of tasks; nil:
// everything is.
func (m *Monitor) unwritable() error {
	if m.failed != nil {
		return m.failed
	}
	if m.resuming != nil {
		return m.resuming
	}
	return m.reserve.short
}

// lookAtReserve is called after every change of the journal.
func (m *Monitor) lookAtReserve() {
	short := m.journal.Short()
	if errors.Is(short, errors.ErrUnsupported) {
		if !m.reserve.without {
			m.log.Printf("warning: %v; on a full disk the ends of running tasks are recorded only once there is room", short)
		}
		m.reserve.without, short = true, nil
	}
	before := m.reserve.short
	m.reserve.short = short
	switch {
	case short != nil && before == nil:
		m.log.Printf("%v; nothing new is accepted until there is room, running tasks go on", short)
		m.storage.look()
		m.timers.Cancel(m.reserve.retry)
		m.reserve.retry = m.timers.After(retryReserve, m.retryReserve)
	case short == nil && before != nil:
		m.log.Printf("there is room again for the journal and its reserve: requests are accepted")
		m.goOn()
		if m.reserve.server {
			m.replaceServer()
		}
	}
}

func (m *Monitor) retryReserve() {
	if m.reserve.short != nil {
		m.journal.Reserve(m.reserve.asked)
		m.reserve.retry = m.timers.After(retryReserve, m.retryReserve)
	}
}

// goOn does what was held back while nothing new could be recorded.
func (m *Monitor) goOn() {
	if m.unwritable() != nil {
		return
	}
	m.leaseMissed()
	for t := range m.all() {
		m.beginQueued(t)
	}
}

// refuseUnwritable refuses what would have to be recorded, and cannot; nil: it can.
func (m *Monitor) refuseUnwritable(what string) *deputy.Error {
	switch {
	case m.failed != nil:
		return notDurable(what, m.failed.Error())
	case m.resuming != nil:
		return notDurable(what, m.resuming.Error())
	case m.reserve.short != nil:
		return notDurable(what, diskFull)
	}
	return nil
}

const diskFull = "the disk is full"

func notDurable(what, why string) *deputy.Error {
	e := deputy.Refuse(deputy.NotDurable, "cannot %s: it cannot be recorded, for %s; nothing was started, ask again later", what, why)
	e.RetryAfter = int(retryReserve / time.Second)
	return e
}
