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
	"os"
	"sync/atomic"
	"time"

	"deputy/internal/monitor/admission"
	"deputy/internal/monitor/callers"
	"deputy/internal/monitor/clock"
	"deputy/internal/monitor/journal"
	"deputy/internal/monitor/keeper"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/look"
	"deputy/internal/monitor/loop"
	"deputy/internal/monitor/manager"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/process"
	"deputy/internal/monitor/reception"
	"deputy/internal/monitor/requests"
	"deputy/internal/monitor/signers"
	"deputy/internal/monitor/site"
	"deputy/internal/monitor/sockets"
	"deputy/internal/monitor/space"
	"deputy/internal/monitor/state"
	"deputy/internal/monitor/tasks"
	"deputy/internal/monitor/userdb"
	"deputy/internal/monitor/vault"
	"deputy/internal/monitor/warden"
	"deputy/internal/output"
	"deputy/internal/request"
	"deputy/internal/wall"
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
	requests  *requests.Requests
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

// New makes a monitor that has touched nothing yet.
func New(o Options) *Monitor {
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &Monitor{
		o: o, loop: loop.New(clock.Clock{Now: clock.Now, Wall: o.Now}), state: state.New(),
		machine: machine{look: look.NewPool(o.Looker)},
	}
	m.ledger = ledger.New(ledger.Options{State: m.state, Loop: m.loop, Log: m.o.Log, Tell: m.noticed, Policy: m.inForce, Syslog: o.Paths.Syslog})
	m.signers = signers.New(signers.Options{State: m.state, Ledger: m.ledger, Loop: m.loop, Routes: request.Routes()})
	m.callers = callers.New(userdb.Open(userdb.Options{Ask: userdb.Through(o.Names), Changed: m.namesChanged, Tell: func(text string) {
		m.o.Log.Printf("%s", text)
	}}))
	m.manager = manager.New(o.Manager, m.loop.Timers)
	m.reception = reception.New(m.callers.Account)
	m.requests = requests.New(requests.Options{
		Ledger: m.ledger, Loop: m.loop, Callers: m.callers, Signers: m.signers, Connections: m.reception, Policy: m.policy.Load,
	}, requests.Join(wall.Verbs(), m.handlers()))
	m.warden = m.newWarden()
	m.space = m.newSpace()
	m.sockets = sockets.New(sockets.Options{Listener: m.reception, Progress: o.Paths.Notify, Renew: m.warden.Replace, Log: o.Log})
	return m
}

// Run opens the journal, takes up what an earlier monitor left, and serves
// until a SIGTERM or SIGINT comes over signals. Each SIGHUP makes it read its
// configuration again, and each SIGUSR2 upgrade; then it returns ErrUpgrade.
func (m *Monitor) Run(link *keeper.Link, signals <-chan os.Signal) error {
	if err := m.requests.Verbs.Check(); err != nil {
		return err
	}
	m.link = link
	restored, err := m.open()
	if err != nil {
		return err
	}
	defer m.journal.Close()
	go m.endWithKeeper()
	m.loop.StartWorkers()
	m.requests.Turns.Start()
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
	m.requests.Turns.Close()
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

func (m *Monitor) post(do func()) { m.loop.Post(do) }
