package monitor

import (
	"deputy"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/tasks"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// A monitor ends for one of four reasons: it is told to, its keeper is gone, an upgrade
// takes its place, or its reception fails. Whichever it is, an installed one leaves its
// tasks alive for the next, and `deputy up` stops them first.

// exit is whether the monitor is to end, and how.
type exit struct {
	leaving     bool        // told to end: nothing new is taken
	ending      atomic.Bool // the installed service was: nothing begins, either
	upgrading   bool        // ordered, or being proved
	orphaned    bool        // the keeper is gone
	handingOver bool        // the monitor is to be executed anew once the loop has ended
}

// listen passes on what ends the monitor or orders it about, until the loop is over.
func (m *Monitor) listen(signals <-chan os.Signal) {
	for {
		select {
		case sig := <-signals:
			m.post(func() { m.obey(sig) })
		case <-m.link.Lost():
			m.post(func() {
				// `deputy up` that was told to end while it executed itself just ends.
				m.exit.orphaned = !(m.o.Up && m.exit.upgrading)
				m.loop.End()
			})
			return
		case <-m.loop.Over():
			return
		}
	}
}

func (m *Monitor) obey(sig os.Signal) {
	switch sig {
	case syscall.SIGHUP:
		m.manager.Reloading()
		m.reload(func(*manifest.Policy, uint64, error) { m.manager.Serving() })
	case PauseSignal:
		m.drain(true, policy.Identity{})
	case ContinueSignal:
		m.drain(false, policy.Identity{})
	case UpgradeSignal:
		m.upgrade(policy.Identity{}, nil, func(string, uint64, *deputy.Error) {})
	default:
		m.manager.Stopping()
		m.leave()
	}
}

// lostPatience is how long a loop may take to end once the keeper has died. One
// that hangs would keep the journal from the next monitor.
const lostPatience = 10 * time.Second

// endWithKeeper ends the monitor though its loop does not. It says nothing first:
// whatever it would wait for may be what the loop waits for.
func (m *Monitor) endWithKeeper() {
	<-m.link.Lost()
	time.Sleep(lostPatience)
	os.Exit(1)
}

// leave ends the monitor: an installed service leaves its tasks alive for the
// next start, `deputy up` stops them first. Asked again it is in a hurry: no
// grace period for anybody.
func (m *Monitor) leave() {
	var grace *int64
	if m.exit.leaving {
		grace = new(int64)
	}
	m.exit.leaving = true
	m.sockets.Leave()
	if !m.o.Up {
		if m.exit.ending.Load() { // asked again it waits for nothing
			m.end()
			return
		}
		m.exit.ending.Store(true)
		m.endIfQuiet()
		return
	}
	for t := range m.tasks.All() {
		m.tasks.Stop(t, tasks.Order{As: deputy.Stopped, Why: "deputy up was ended", Grace: grace})
	}
	m.leaveIfIdle()
}

// endIfQuiet ends an installed monitor that was told to, as soon as nothing is
// being born. The journal says so: whatever was not started by then is started
// by the next monitor, even if the machine is restarted in between.
func (m *Monitor) endIfQuiet() {
	if !m.exit.ending.Load() || m.tasks.BirthsUnderWay() > 0 {
		return
	}
	m.ledger.Record(&deputy.Event{Type: deputy.MonitorEnd}, ledger.After{})
	m.end()
}

// end lets the loop end.
func (m *Monitor) end() {
	if !m.loop.Ending() {
		m.signers.EndLeases()
		m.loop.End()
	}
}

// quiet ends a monitor that was told to, if nothing is left to wait for.
func (m *Monitor) quiet() {
	m.endIfQuiet()
	m.leaveIfIdle()
}

func (m *Monitor) leaveIfIdle() {
	if m.exit.leaving && m.tasks.Idle() {
		m.end()
	}
}

func (m *Monitor) close() error {
	if !m.o.Up {
		return m.machine.host.Close(true)
	}
	m.sockets.Remove()
	return m.machine.host.Close(false)
}
