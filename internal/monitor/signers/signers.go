// Package signers tells who signed a request, and what it asks for: given the bytes of
// a signed request, an identity and what is asked, or a refusal. First the signature is
// verified over the exact bytes; only then is anything in them parsed, and what is asked
// comes from them alone. Of a message in the original's scheme, which covers the module
// alone, two values are searched for before that, and no more of it is read.
//
// No signature is good twice: not in this monitor, not in the next, whatever its clock
// does. What was used the journal knows, or a lease says in advance.
package signers

import (
	"errors"
	"os"
	"sync/atomic"

	"deputy"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/loop"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/state"
	"deputy/internal/request"
	"deputy/internal/signature"
	"deputy/internal/wall"
)

// Ledger takes records.
type Ledger interface {
	Record(e *deputy.Event, after ledger.After)
	Last() uint64      // the number of the last record
	Unwritable() error // why nothing is recorded now; nil: it is
}

// Options are what signers need.
type Options struct {
	State  *state.State
	Ledger Ledger
	Loop   *loop.Loop
	Routes request.Table // what may be asked for over HTTP
}

// Signers belong to the loop, but for what says that anybody may call it.
type Signers struct {
	Options
	by   atomic.Pointer[trust] // in force
	dir  string                // of the key files
	seal func(string) string   // names a secret without telling it

	recent state.Nonces           // of all signed requests of this monitor, reads too
	floors map[state.Lease]int64  // of an earlier monitor's leases: what was signed up to then is refused, Unix seconds
	floor  int64                  // the same, of all secrets
	leases map[state.Lease]uint64 // the record of each lease of this one
	forgot int64                  // when nonces were last forgotten, Unix seconds
}

// trust is what signatures are verified by.
type trust struct {
	set  *manifest.Policy
	keys Keys
}

// New trusts nobody yet.
func New(o Options) *Signers {
	s := &Signers{Options: o, recent: state.Nonces{}, floors: map[state.Lease]int64{}, leases: map[state.Lease]uint64{}}
	s.by.Store(&trust{})
	return s
}

// ReadFrom says where the key files are, and what names the secrets in them. It comes
// before ReadKeys.
func (s *Signers) ReadFrom(dir string, seal func(string) string) { s.dir, s.seal = dir, seal }

// ReadKeys reads every key file. One that others could read or replace is not used, and
// why not is a warning: a caller without a key is denied. It may wait for the disk.
func (s *Signers) ReadKeys() (found Keys, warnings []string) {
	return readKeys(s.dir, uint32(os.Geteuid()), s.seal)
}

// Adopt puts a policy in force. The keys stay as they are.
func (s *Signers) Adopt(set *manifest.Policy) { s.by.Store(&trust{set, s.by.Load().keys}) }

// AdoptKeys puts keys in force.
func (s *Signers) AdoptKeys(k Keys) { s.by.Store(&trust{s.by.Load().set, k}) }

// Any says whether there is a key: without one nobody can sign. Anybody may call it.
func (s *Signers) Any() bool { return len(s.by.Load().keys) > 0 }

// Signer is whose turn a signed request waits for, by what it says itself: that of a
// key, or of all who name none that there is. Anybody may call it.
func (s *Signers) Signer(r *wall.Request) deputy.Caller {
	a, err := signature.Parse(r.Authorization)
	if err != nil || len(s.by.Load().keys[a.ID]) == 0 {
		return "key:"
	}
	return deputy.Caller("key:" + a.ID)
}

// Prove tells who signed a request and what it asks for, or why it is refused. From
// then on the request has its nonce, and what is asked has it, too. It runs beside the
// loop, which alone knows what was used before.
func (s *Signers) Prove(r *wall.Request) (by deputy.Caller, asked *wall.Request, refusal *deputy.Error) {
	found := s.by.Load().verify(r)
	err := errors.New("deputy ends") // unless the loop takes it
	s.Loop.Do(func() {
		if now := s.by.Load(); now != found.by { // keys were added or removed meanwhile
			found = now.verify(r)
		}
		err = s.accept(r, found)
	})
	if err == nil {
		asked, err = found.by.askedFor(r, s.Routes)
	}
	if err != nil {
		return "", nil, refusalOf(err)
	}
	asked.ID, asked.Size, asked.Nonce = r.ID, r.Size, r.Nonce
	return found.caller, asked, nil
}

func refusalOf(err error) *deputy.Error {
	var refusal *deputy.Error
	if errors.As(err, &refusal) {
		return refusal
	}
	return deputy.Refuse(deputy.BadRequest, "%v", err)
}
