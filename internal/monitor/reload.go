package monitor

import (
	"errors"

	"deputy"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/manifest"
	"deputy/internal/wall"
)

// A policy takes effect whole or not at all. Its files are read beside the loop, and the
// journal names it before anything is decided by it. What was loaded before stays in
// force until then.

// reloadAsked serves POST /v1/reload.
func (m *Monitor) reloadAsked(a asked) {
	m.reload(func(set *manifest.Policy, seq uint64, err error) {
		if refusal := (*deputy.Error)(nil); errors.As(err, &refusal) {
			a.Reply.Refuse(0, refusal)
			return
		}
		if err != nil {
			a.Reply.Refuse(0, &deputy.Error{Code: deputy.BadParam, Detail: "cannot reload, the old policy stays in force:\n" + err.Error()})
			return
		}
		a.Reply.Answer(seq, wall.Outcome{Digest: set.Digest})
	})
}

// reload reads every file again, beside the loop. Only what is wholly right
// takes effect, and only once the journal has it. done may be nil.
func (m *Monitor) reload(done func(*manifest.Policy, uint64, error)) {
	if done == nil {
		done = func(*manifest.Policy, uint64, error) {}
	}
	o := m.loadOptions()
	go func() {
		set, warnings, err := manifest.Load(o)
		keys, wrong := m.signers.ReadKeys()
		m.post(func() {
			for _, w := range warnings {
				m.o.Log.Printf("warning: %s", w)
			}
			if refusal := m.ledger.Refuse("reload"); err == nil && refusal != nil {
				err = refusal
			}
			if err != nil {
				m.o.Log.Printf("cannot reload, the old policy stays in force:\n%v", err)
				done(nil, 0, err)
				return
			}
			m.putInForce(set, func() { m.adoptKeys(keys, wrong) }, done)
		})
	}()
}

func (m *Monitor) putInForce(set *manifest.Policy, adoptKeys func(), done func(*manifest.Policy, uint64, error)) {
	e := &deputy.Event{Type: deputy.PolicyLoaded, Policy: set.Digest, Files: set.Files}
	m.ledger.Record(e, ledger.After{Durable: func() {
		m.adopt(set)
		m.tasks.Requeue()
		adoptKeys()
		m.sockets.Follow(m.wantedSockets())
		m.warden.Policy(set.Digest)
		m.o.Log.Printf("the policy was loaded: %d modules, digest %.12s", len(set.Modules), set.Digest)
		done(set, e.Seq, nil)
		m.warden.Renew()
	}})
}

// namesChanged: other names of the policy stand for somebody than before. What
// the server was told of what callers may is void.
func (m *Monitor) namesChanged() {
	go m.post(func() { m.warden.Policy(m.policy.Load().Set().Digest) }) // it may be the loop itself that has noticed
}
