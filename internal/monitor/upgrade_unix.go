//go:build unix

package monitor

import (
	"errors"
	"fmt"
	"strconv"
	"syscall"

	"deputy"
	"deputy/internal/monitor/journal"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/proof"
	"deputy/internal/wall"
)

// An upgrade in place, ordered by SIGUSR2 or POST /v1/upgrade:
//
//	the programs that now stand at our paths are proved       refused: the old ones go on
//	the order is recorded, and answered once that is durable
//	the keeper executes itself, and holds signals back        keeper.Link.Upgrade
//	the server answers what it has, and ends; the backlog waits
//	the loop ends; tasks, also those that have ended meanwhile, stay our children
//	Run returns ErrUpgrade, and main executes the monitor     keeper.Link.Execute
//
// The new monitor takes up everything as after a death of the old one. Should it
// die, the keeper starts it again.

// ErrUpgrade is what Run returns when the monitor is to be executed anew.
var ErrUpgrade = errors.New("the monitor is to be upgraded")

// UpgradeSignal orders an upgrade.
const UpgradeSignal = syscall.SIGUSR2

// PauseSignal and ContinueSignal are none: only Windows' services are paused.
const (
	PauseSignal    = syscall.Signal(-1)
	ContinueSignal = syscall.Signal(-2)
)

// upgradeAsked serves POST /v1/upgrade.
func (m *Monitor) upgradeAsked(a asked) {
	m.upgrade(a.ID, a.R.Nonce, func(to string, seq uint64, refusal *deputy.Error) {
		if refusal != nil {
			a.Reply.Refuse(0, refusal)
			return
		}
		a.Reply.Answer(seq, wall.Outcome{Upgrade: &wall.Upgraded{From: deputy.Version, To: to}})
	})
}

// upgrade proves the new programs beside the loop, records the order and carries
// it out. done is told the new version and the record, or why not.
func (m *Monitor) upgrade(id policy.Identity, nonce *deputy.Nonce, done func(to string, seq uint64, refusal *deputy.Error)) {
	switch {
	case m.exit.upgrading:
		done("", 0, deputy.Refuse(deputy.Busy, "cannot upgrade: an upgrade is under way"))
		return
	case m.exit.leaving || m.ledger.Failed() != nil:
		done("", 0, deputy.Refuse(deputy.NotDurable, "cannot upgrade: deputy is being stopped, or its journal cannot be written; see: deputy status"))
		return
	case m.machine.capper.HeldUp() > 0: // this process could not make way
		done("", 0, deputy.Refuse(deputy.Busy, "cannot upgrade: the kernel keeps the output of a task locked for somebody who writes to it, from a disk or a file system that does not answer; let it answer, or end it (of FUSE: echo 1 >/sys/fs/fuse/connections/N/abort), and try again"))
		return
	}
	m.exit.upgrading = true
	go func() {
		to, err := m.prove()
		m.post(func() {
			if err != nil {
				m.exit.upgrading = false
				m.o.Log.Printf("cannot upgrade, the old programs go on: %v", err)
				done("", 0, deputy.Refuse(deputy.BadParam, "cannot upgrade, the old programs go on: %v", err))
				return
			}
			e := &deputy.Event{Type: deputy.UpgradeOrdered, Caller: id.Caller, EndUser: id.EndUser, Nonce: nonce, Version: to}
			m.ledger.Record(e, ledger.After{Durable: func() {
				m.o.Log.Printf("upgrading from version %s to %s; tasks go on", deputy.Version, to)
				m.manager.Status("upgrading to version " + to)
				done(to, e.Seq, nil)
				go m.handOver()
			}})
		})
	}()
}

// handOver has the keeper and the server make way, then the loop.
func (m *Monitor) handOver() {
	if err := m.link.Upgrade(); err != nil {
		m.o.Log.Printf("the keeper goes on with its old program: %v", err)
	}
	m.warden.Retire()
	m.post(func() {
		m.exit.handingOver = !m.exit.leaving // who was told to end meanwhile ends
		m.end()
	})
}

// prove runs both new programs for a moment. They must be able to start, to read
// this configuration and this journal, and to talk to one another.
func (m *Monitor) prove() (version string, err error) {
	daemon := append([]string{}, m.o.Probe...)
	daemon = append(daemon, "--journal-format", strconv.Itoa(journal.Format))
	said, err := proof.Of("deputyd", daemon[0], daemon, nil)
	if err != nil {
		return "", err
	}
	program, argv, as := m.warden.Probe()
	server, err := proof.Of("deputy-server", program, argv, as)
	if err != nil {
		return "", err
	}
	if said.Wall != server.Wall {
		return "", fmt.Errorf("deputyd %s and deputy-server %s do not speak the same version of their protocol (%s and %s); install all programs together",
			said.Version, server.Version, said.Wall, server.Wall)
	}
	return said.Version, nil
}

// Proof is the line by which this program says that it can start.
func Proof() string { return proof.Line() }

// Prove is the other side of prove: it says whether this program could take over
// an installation whose journal is written in the given format.
func Prove(o Options, format int) error {
	if format > journal.Format {
		return fmt.Errorf("cannot read the journal: it is written in format %d, and version %s reads at most %d; install a version that reads it", format, deputy.Version, journal.Format)
	}
	if _, _, err := manifest.Load(New(o).loadOptions()); err != nil {
		return err
	}
	return nil
}
