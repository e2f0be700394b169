// Package monitor is all that runs with privilege: it accepts and identifies
// callers, asks the policy, makes requests durable, starts tasks, watches them
// and stops them. One loop owns all of its state; everything else (the disk,
// births, the server, the kernel's news) runs beside it and posts to it.
//
//	reception ──▶ door ──▶ server            journal: write, fdatasync
//	                          │                  ▲        │ durable
//	   wall: requests,        ▼                  │        ▼
//	   one of each caller at a time, judged; then
//	  ─────────────────▶  the loop: State, changed only by events it records
//	                          │                  ▲
//	                          ▼ begin, stop      │ born, exited, emptied
//	                       workers ──▶ process.Host: trees of tasks
package monitor

import (
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"deputy"
	"deputy/internal/monitor/admission"
	"deputy/internal/monitor/callers"
	"deputy/internal/monitor/clock"
	"deputy/internal/monitor/journal"
	"deputy/internal/monitor/keeper"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/look"
	"deputy/internal/monitor/loop"
	"deputy/internal/monitor/manager"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/process"
	"deputy/internal/monitor/reception"
	"deputy/internal/monitor/signers"
	"deputy/internal/monitor/site"
	"deputy/internal/monitor/sockets"
	"deputy/internal/monitor/space"
	"deputy/internal/monitor/state"
	"deputy/internal/monitor/tasks"
	"deputy/internal/monitor/turns"
	"deputy/internal/monitor/userdb"
	"deputy/internal/monitor/vault"
	"deputy/internal/monitor/warden"
	"deputy/internal/output"
)

// Options is what the command line says.
type Options struct {
	Paths    site.Paths
	Up       bool          // `deputy up`: everything as one user, and nothing is left at the end
	NoCgroup bool          // as if there were no cgroup v2
	Forker   []string      // argv of what makes the first processes of tasks
	Reaper   []string      // argv of the subreaper, where there is no cgroup v2
	Names    []string      // argv of what asks the name services
	Confiner []string      // argv of what confines the server, and becomes it
	Looker   []string      // argv of what looks at paths that may never answer
	Log      *log.Logger   // one line for each decision; it must not hold anybody up
	LogLost  func() uint64 // how many lines of it were lost; nil: that is not known
	Probe    []string      // argv by which a new deputyd shows that it could take over
	Manager  manager.Settings
	Now      func() time.Time // the clock that signatures are held against; nil: time.Now
}

// Monitor is the whole of it. The loop in Run owns every member; other
// goroutines reach it by post alone.
type Monitor struct {
	o      Options
	loop   *loop.Loop
	exit   exit
	policy atomic.Pointer[policy.Policy] // in force; stored by the loop, read by anybody

	state   *state.State
	journal *journal.Journal
	ledger  *ledger.Ledger

	link      *keeper.Link
	manager   *manager.Manager
	sockets   *sockets.Sockets
	reception *reception.Reception
	warden    *warden.Warden

	callers   *callers.Callers
	signers   *signers.Signers
	turns     *turns.Turns
	admission *admission.Admission

	tasks   *tasks.Tasks
	vault   *vault.Vault
	space   *space.Keeper
	machine machine
}

// machine is what of the machine is open: where tasks run, what caps their output, and
// what looks at paths that may not answer.
type machine struct {
	host   *process.Host
	capper *output.Capper
	look   *look.Pool
}

// exit is whether the monitor is to end, and how.
type exit struct {
	leaving     bool        // told to end: nothing new is taken
	ending      atomic.Bool // the installed service was: nothing begins, either
	upgrading   bool        // ordered, or being proved
	orphaned    bool        // the keeper is gone
	handingOver bool        // the monitor is to be executed anew once the loop has ended
}

// New makes a monitor that has touched nothing yet.
func New(o Options) *Monitor {
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &Monitor{
		o: o, loop: loop.New(clock.Clock{Now: clock.Now, Wall: o.Now}), state: state.New(), turns: turns.New(),
		machine: machine{look: look.NewPool(o.Looker)},
	}
	m.ledger = ledger.New(ledger.Options{State: m.state, Loop: m.loop, Log: m.o.Log, Tell: m.noticed, Policy: m.inForce, Syslog: o.Paths.Syslog})
	m.signers = signers.New(signers.Options{State: m.state, Ledger: m.ledger, Loop: m.loop})
	m.callers = callers.New(userdb.Open(userdb.Options{Ask: userdb.Through(o.Names), Changed: m.namesChanged, Tell: func(text string) {
		m.o.Log.Printf("%s", text)
	}}))
	m.manager = manager.New(o.Manager, m.loop.Timers)
	m.reception = reception.New(m.callers.Account)
	m.warden = m.newWarden()
	m.space = m.newSpace()
	m.sockets = sockets.New(sockets.Options{Listener: m.reception, Progress: o.Paths.Notify, Renew: m.warden.Replace, Log: o.Log})
	return m
}

// Run opens the journal, takes up what an earlier monitor left, and serves
// until a SIGTERM or SIGINT comes over signals. Each SIGHUP makes it read its
// configuration again, and each SIGUSR2 upgrade; then it returns ErrUpgrade.
func (m *Monitor) Run(link *keeper.Link, signals <-chan os.Signal) error {
	m.link = link
	restored, err := m.open()
	if err != nil {
		return err
	}
	defer m.journal.Close()
	go m.endWithKeeper()
	m.loop.StartWorkers()
	m.turns.Start()
	m.takeUp(restored)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		if err := m.reception.Run(); err != nil {
			m.o.Log.Printf("%v", err)
			m.post(m.end)
		}
	}()
	m.warden.Start(ctx, m.journal, m.machine.host, m.reception)
	if err := link.Ready(); err != nil {
		return fmt.Errorf("cannot tell the keeper that the monitor is ready: %w", err)
	}
	m.manager.Alive()
	m.space.Start(ctx)
	go m.sockets.Watch(ctx)
	go m.callers.Users.Keep(ctx.Done())
	go m.vault.Sweep(m.liveIDs)
	m.admission.RecordHidden()
	go m.listen(signals)
	m.loop.Run()
	m.turns.Close()
	cancel()
	m.warden.Wait()
	m.sockets.Leave()
	m.reception.Close()
	m.machine.look.Close()
	switch {
	case m.exit.orphaned:
		return errors.New("the keeper is gone; the next start takes the tasks up again")
	case m.exit.handingOver:
		return errors.Join(ErrUpgrade, m.machine.host.Close(true))
	}
	return m.close() // after the server's end: our cgroups cannot go while it is in one
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

func (m *Monitor) post(do func()) { m.loop.Post(do) }

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

// heard takes news of a task's process tree. The host's goroutine calls it.
func (m *Monitor) heard(e process.Event) { m.loop.Post(func() { m.tasks.Heard(e) }) }

// Exited takes the word of the keeper about a process that it has reaped.
func (m *Monitor) Exited(x keeper.Exit) { m.loop.Post(func() { m.tasks.Exited(x) }) }

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
