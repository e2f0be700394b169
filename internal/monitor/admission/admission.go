// Package admission is what becomes of a request before it is a task: it is judged by
// the policy beside the loop, held against what its caller may have of everything,
// given tasks of its own or those that live, recorded, and answered once that is
// durable. Nothing here knows over which way a request came, nor starts or stops a
// process. All but Judge belongs to the loop.
package admission

import (
	"log"

	"deputy"
	"deputy/internal/monitor/callers"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/loop"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/site"
	"deputy/internal/monitor/state"
	"deputy/internal/monitor/tasks"
	"deputy/internal/monitor/turns"
	"deputy/internal/monitor/userdb"
	"deputy/internal/monitor/vault"
	"deputy/internal/wall"
)

// Reply answers one request, once, over whatever way it came.
type Reply interface {
	Answer(seq uint64, o wall.Outcome)      // seq is durable; whoever reads after the answer sees it
	Text(outcome []byte)                    // the same of an outcome that is made already, and names no record
	Refuse(after uint64, err *deputy.Error) // once the record after is durable; 0: at once
}

// Options are what admission needs.
type Options struct {
	State   *state.State
	Ledger  *ledger.Ledger
	Loop    *loop.Loop
	Log     *log.Logger
	Tasks   *tasks.Tasks
	Vault   *vault.Vault
	Turns   *turns.Turns
	Callers *callers.Callers
	Users   *userdb.Database
	Policy  func() *policy.Policy // in force
	Seal    site.Seal

	Ending   func() bool   // the monitor is: nothing is accepted
	Full     func() string // why the disk takes nothing new; "": it does
	MaxTasks func() int    // that may live, for each of which a descriptor is needed
}

// Admission is the loop's own.
type Admission struct {
	Options
	budgets turns.Budgets
	denials turns.Denials
}

// New has admitted nothing yet.
func New(o Options) *Admission {
	return &Admission{Options: o, budgets: turns.Budgets{}, denials: turns.Denials{}}
}
