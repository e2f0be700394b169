package monitor

import (
	"fmt"
	"os"
	"time"

	"deputy"
	"deputy/internal/monitor/admission"
	"deputy/internal/monitor/birth"
	"deputy/internal/monitor/clock"
	"deputy/internal/monitor/journal"
	"deputy/internal/monitor/keeper"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/manager"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/process"
	"deputy/internal/monitor/reception"
	"deputy/internal/monitor/signers"
	"deputy/internal/monitor/site"
	"deputy/internal/monitor/sockets"
	"deputy/internal/monitor/tasks"
	"deputy/internal/monitor/vault"
	"deputy/internal/monitor/warden"
	"deputy/internal/output"
	"deputy/internal/signature"
)

// Nothing is served, and no task is touched, before all is open. The journal's lock is
// taken before anything is changed: after it there is no second monitor. Whatever fails
// here ends the monitor.

// open readies all that a monitor needs, in the order in which each needs the
// other. The journal's lock comes first: after it there is no second monitor. restored:
// the journal is a restored copy.
func (m *Monitor) open() (restored bool, err error) {
	p := m.o.Paths
	if m.loop.Boot, err = clock.Boot(); err != nil {
		return false, fmt.Errorf("cannot tell which boot this is: %w", err)
	}
	if err := m.reception.Prepare(); err != nil {
		return restored, err
	}
	set, warnings, err := manifest.Load(m.loadOptions())
	if err != nil {
		if m.first() { // nothing depends on us yet
			return restored, err
		}
		// Tasks of an earlier monitor must be watched; nothing new is allowed.
		m.o.Log.Printf("%v", err)
		m.o.Log.Printf("every request is denied until the files above are mended and reloaded; running tasks go on")
		set = manifest.Nothing(m.loadOptions())
	}
	for _, w := range warnings {
		m.o.Log.Printf("warning: %s", w)
	}
	server := m.warden.ChooseUser(set)
	if err := p.MakeDirectories(site.Access{ServerUID: server.UID, ServerGID: server.GID, Inherited: m.o.Up}, set.Config.Listen.Unix.Path); err != nil {
		return restored, err
	}
	seal, unused, err := p.OpenSeal()
	if err != nil {
		return restored, err
	}
	m.signers.ReadFrom(p.Keys(), seal)
	m.adopt(set)
	m.adoptKeys(m.signers.ReadKeys())
	restored, err = m.openJournal(unused, m.link.Held()[heldLock])
	if err != nil {
		return restored, err
	}
	if err := m.link.Hold(heldLock, m.journal.Lock()); err != nil {
		return restored, err
	}
	if m.machine.host, err = process.Open(m.held(process.Options{
		Instance: p.Instance(), Forker: m.o.Forker, Reaper: m.o.Reaper, StateDir: p.Reapers(), Events: m.heard, KeeperPID: os.Getppid(), ForceFallback: m.o.NoCgroup,
		Kept: manager.Kept(m.link.Held(), m.link.Inherited()),
	})); err != nil {
		return restored, err
	}
	m.manager.Connect(m.link, m.machine.host)
	if w := warden.Weakness(set, m.machine.host); w != "" {
		m.o.Log.Printf("%s", w)
	}
	if m.machine.capper, err = output.NewCapper(func(err error) { m.o.Log.Printf("%v", err) }); err != nil {
		return restored, err
	}
	m.space.Use(m.journal, m.machine.capper)
	m.makeRooms(seal)
	return restored, m.sockets.Open(m.wantedSockets(), sockets.Left{Held: m.link.Held(), Inherited: m.link.Inherited()}, m.link)
}

// makeRooms makes what needs a host and a journal.
func (m *Monitor) makeRooms(seal site.Seal) {
	p, gid := m.o.Paths, m.warden.User().GID
	m.vault = vault.New(m.loop, p, gid)
	progress := ""
	if sockets.TakesProgress {
		progress = p.Notify
	}
	m.tasks = tasks.New(tasks.Options{
		State: m.state, Ledger: m.ledger, Loop: m.loop, Log: m.o.Log, Callers: m.callers, Users: m.callers.Users, Policy: m.policy.Load,
		Paths: p, Progress: progress, Host: m.machine.host, Outputs: m.machine.capper, Descriptors: m.manager,
		Births: birth.New(birth.Options{
			Host: m.machine.host, Outputs: m.machine.capper, Look: m.machine.look, Secrets: m.vault.Read, Directory: p.Task, Scratch: p.State,
			ServerGID: gid, Ending: m.exit.ending.Load,
		}),
		Hold:  func() bool { return m.exit.leaving || m.exit.ending.Load() },
		Quiet: m.quiet, Scarce: m.space.Look, Done: func(x keeper.Exit) { m.link.Done(x) }, Left: m.left,
	})
	m.admission = admission.New(admission.Options{
		State: m.state, Ledger: m.ledger, Loop: m.loop, Log: m.o.Log, Tasks: m.tasks, Vault: m.vault, Turns: m.requests.Turns,
		Callers: m.callers, Users: m.callers.Users, Policy: m.policy.Load, Seal: seal,
		Ending: func() bool { return m.exit.leaving || m.exit.ending.Load() }, Full: m.space.Full, MaxTasks: m.reception.MaxTasks,
	})
	m.requests.Admission = m.admission
}

// adopt puts a loaded policy in force.
func (m *Monitor) adopt(set *manifest.Policy) {
	m.callers.Users.Adopt(set.Words)
	m.policy.Store(policy.New(set, policy.Options{SelfUID: uint32(os.Geteuid()), SelfSID: site.SelfSID(), Users: m.callers.Users.View}))
	m.signers.Adopt(set)
	m.reception.Adopt(m.share())
	m.space.Adopt(&set.Config.Storage)
}

// share is what the policy in force lets whoever connect.
func (m *Monitor) share() reception.Share {
	d := m.policy.Load().Set().Config.Default
	return reception.Share{Connections: d.Connections, Requests: d.Rate.Number, Span: d.Rate.Span, Operator: m.policy.Load().Operator}
}

// wantedSockets are where callers are to ask.
func (m *Monitor) wantedSockets() sockets.Wanted {
	listen := m.policy.Load().Set().Config.Listen
	return sockets.Wanted{Path: listen.Unix.Path, Mode: listen.Unix.Mode, GID: listen.Unix.GID, Lines: listen.Line}
}

// adoptKeys puts keys that were read in force.
func (m *Monitor) adoptKeys(k signers.Keys, warnings []string) {
	m.signers.AdoptKeys(k)
	for _, w := range warnings {
		m.o.Log.Printf("warning: %s", w)
	}
}

func (m *Monitor) loadOptions() manifest.Options {
	p := m.o.Paths
	return manifest.Options{
		ConfigFile: p.ConfigFile(), ModuleDirs: p.Modules, AllowDir: p.AllowDir(),
		KeysDir: p.Keys(), Users: m.callers.Users, Root: !m.o.Up, UID: uint32(os.Geteuid()), Socket: p.Socket, Look: m.machine.look,
	}
}

// heldLock is what the keeper calls the journal's lock. It holds it with us, so
// that nobody comes between this monitor and the next.
const heldLock = "lock"

// openJournal takes the lock, replays the last segment into the state, and
// records that this monitor began and by which policy. unused says that no
// monitor was here before; lock is the journal's, of the monitor before us in this
// keeper's life, nil: there was none. restored: the journal is a restored copy.
func (m *Monitor) openJournal(unused bool, lock *os.File) (restored bool, err error) {
	j, found, err := journal.Open(m.o.Paths.Journal(), journal.Options{
		Checkpoint: m.checkpoint, Lock: lock,
		Notify: func() { m.post(m.ledger.Synced) },
	})
	if err != nil {
		return false, err
	}
	m.journal = j
	m.ledger.Use(j)
	for _, cut := range found.Cuts {
		m.o.Log.Printf("journal: %s", cut)
	}
	if err := found.Replay(m.state.Apply); err != nil {
		return false, fmt.Errorf("cannot replay the journal: %w", err)
	}
	// The monitor before may have answered without a lease while it lived on its reserve.
	m.signers.Begin(found.File != "" && !found.Reserve)
	if restored, err = m.placeJournal(found.File == "", unused); err != nil {
		return false, err
	}
	m.ledger.Record(&deputy.Event{
		Type: deputy.MonitorStart, Version: deputy.Version, Boot: m.loop.Boot, BootNS: m.loop.Now(), PID: os.Getpid(), Restored: restored,
	}, ledger.After{})
	set := m.policy.Load().Set()
	m.ledger.Record(&deputy.Event{Type: deputy.PolicyLoaded, Policy: set.Digest, Files: set.Files}, ledger.After{})
	if m.state.Drains && m.first() {
		m.ledger.Record(&deputy.Event{Type: deputy.DrainOff, Reason: "deputy was started anew"}, ledger.After{})
	}
	return restored, nil
}

// placeJournal finds out whether the journal is a restored copy. One that is new
// where there was one before knows no more than that.
func (m *Monitor) placeJournal(fresh, unused bool) (restored bool, err error) {
	why := "it is new, and the installation is not"
	switch {
	case fresh && unused:
		return false, m.o.Paths.NotePlace()
	case !fresh:
		why, err = m.o.Paths.Restored()
	}
	if why != "" {
		m.o.Log.Printf("the journal was restored from a back-up, or begun anew (%s): what was live in it is unknown, and signatures are good from %v after this on", why, signature.Window*time.Second)
	}
	return why != "", err
}

// first says whether this is its keeper's first monitor: the service was
// started, and has not merely lost its monitor.
func (m *Monitor) first() bool { return !m.link.Again() }
