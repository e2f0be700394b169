package monitor

import (
	"errors"
	"fmt"
	"syscall"

	"deputy"
	"deputy/internal/monitor/policy"
	"deputy/internal/wall"
)

// ErrUpgrade is what Run returns where the monitor can be executed anew. A
// process cannot take another program here.
var ErrUpgrade = errors.New("cannot upgrade in place on Windows")

// upgradeSignal is no signal's number.
const upgradeSignal = syscall.Signal(-1)

// upgradeCall serves POST /v1/upgrade: it says what to do instead.
func (m *Monitor) upgradeCall(peer *wall.Peer, r *wall.Request, id policy.Identity) {
	refusal := deputy.Refuse(deputy.BadRequest, "cannot upgrade in place on Windows: deputy service stop, replace the programs, deputy service start; tasks live on")
	if !m.policy.Rights(id).Operator {
		refusal = deputy.Refuse(deputy.NotAllowed, "%s may not upgrade: only an operator may", id)
		m.denied(id, r, refusal)
	}
	m.refuse(peer, r, refusal)
}

func (m *Monitor) upgrade(policy.Identity, *deputy.Nonce, func(string, uint64, *deputy.Error)) {}

// Proof says which version this is.
func Proof() string { return fmt.Sprintf("deputyd %s, wall %d", deputy.Version, wall.Version) }

// Prove is for systems that upgrade in place.
func Prove(Options, int) error { return ErrUpgrade }
