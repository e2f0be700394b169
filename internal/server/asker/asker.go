// Package asker is who asks, for every front door: whether over a connection that
// the monitor has identified or by a signature, what that caller may, which tasks
// it sees and how much of each. Front doors read what was sent and write what is
// answered; whom a thing is shown to is decided here alone. What may change
// anything the monitor decides, at the other end of the wall.
package asker

import (
	"context"
	"sync"
	"sync/atomic"

	"deputy"
	"deputy/internal/wall"
)

// Monitor is asked over the wall. An error means that the wall ended: whether
// the request was accepted is not known.
type Monitor interface {
	Do(ctx context.Context, r wall.Request) (wall.Outcome, error)
}

// Tasks finds a task by its id.
type Tasks interface {
	Task(ctx context.Context, id string) (task deputy.Task, found bool, err error)
}

// Askers is what is known of all who ask. It may be used by several goroutines.
type Askers struct {
	monitor Monitor
	tasks   Tasks
	each    int // signed requests of one caller that may be answered at a time; 0: as many as it likes
	policy  atomic.Pointer[policy]
	signed  callers
}

// New knows the policy of the monitor's greeting.
func New(m Monitor, t Tasks, g *wall.Greeting) *Askers {
	a := &Askers{monitor: m, tasks: t, each: g.Connections}
	a.PolicyChanged(g.Policy)
	return a
}

// PolicyChanged voids the rights and actions that were asked for before.
func (a *Askers) PolicyChanged(digest string) {
	a.policy.Store(&policy{digest: digest, maxBody: map[usable]int64{}})
}

// Policy is the digest of the policy in force.
func (a *Askers) Policy() string { return a.policy.Load().digest }

// policy is what is known of the policy in force. Whatever was learned under
// another one is void: its holders compare the pointer.
type policy struct {
	digest string

	mu      sync.Mutex
	maxBody map[usable]int64 // of what callers were told that they may use, in bytes
}

// usable is an action of which a caller was told that it may use it.
type usable struct {
	caller         deputy.Caller
	module, action string
}

// maxLearned is how many sizes are remembered.
const maxLearned = 10_000

func (p *policy) learn(caller deputy.Caller, actions []deputy.ActionInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.maxBody) > maxLearned {
		clear(p.maxBody)
	}
	for _, a := range actions {
		p.maxBody[usable{caller, a.Module, a.Action}] = a.MaxBody
	}
}

// limit is the longest body that a caller may send for an action, if it was
// told that it may use it.
func (p *policy) limit(u usable) (bytes int64, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	bytes, known = p.maxBody[u]
	return bytes, known
}
