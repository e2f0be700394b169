// Package requests serves what the server asks the monitor for. A request is given its
// caller's turn, judged there by the policy, and then done by the loop: by the handler of
// its verb, to which it no longer matters how it came. Who may ask for a verb says its row
// of the wall's table, and Handle alone holds everybody to it.
package requests

import (
	"time"

	"deputy"
	"deputy/internal/monitor/admission"
	"deputy/internal/monitor/callers"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/loop"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/signers"
	"deputy/internal/monitor/turns"
	"deputy/internal/wall"
)

// Connections are those that callers have: *reception.Reception.
type Connections interface {
	Identity(number uint64) (id policy.Identity, lives bool)
}

// Options are what requests need.
type Options struct {
	Ledger      *ledger.Ledger
	Loop        *loop.Loop
	Callers     *callers.Callers
	Signers     *signers.Signers
	Connections Connections
	Policy      func() *policy.Policy // in force
}

// Requests are those of all servers, one after another.
type Requests struct {
	Options
	Turns     *turns.Turns
	Verbs     Verbs
	Admission *admission.Admission // set before the first request
}

// New serves none yet.
func New(o Options, v Verbs) *Requests { return &Requests{Options: o, Turns: turns.New(), Verbs: v} }

// Asked is a request whose caller is known.
type Asked struct {
	R     *wall.Request
	ID    policy.Identity
	J     *admission.Judged
	Reply admission.Reply
}

// Hear gives a message of the server its turn. It runs beside the loop. peer is
// the server that sent it.
func (q *Requests) Hear(peer *wall.Peer, r *wall.Request) {
	switch verb, a := q.Verbs[r.Kind], (Asked{R: r, Reply: &reply{ledger: q.Ledger, peer: peer, r: r}}); verb.Access {
	case wall.Anyone: // it waits for the loop alone
		q.Loop.Post(func() { verb.Do(a) })
		return
	case wall.Server:
		q.Turns.Again(theServer, func() {
			if peer.AwaitRoom(); !peer.Gone() {
				verb.Do(a)
			}
		})
		return
	}
	caller, ok := q.asker(r)
	if !ok {
		peer.Answer(r, 0, wall.Outcome{Error: errGone()})
		return
	}
	if refusal := q.Turns.Put(caller, func() { q.serve(caller, peer, r) }, q.Policy().Rate()); refusal != nil {
		peer.Answer(r, 0, wall.Outcome{Error: refusal})
	}
}

// theServer is whose turn it is for what the server asks in its own name. It is not
// charged: each is asked for a request that was.
const theServer = deputy.Caller("server")

// asker is whose turn a request waits for. Who signs is not known yet: one that
// names no key of ours waits with all others that do not.
func (q *Requests) asker(r *wall.Request) (deputy.Caller, bool) {
	if r.Kind.Access() == wall.Signer {
		return q.Signers.Signer(r), true
	}
	id, ok := q.Connections.Identity(r.Connection)
	return q.Callers.Account(id.Caller), ok
}

func errGone() *deputy.Error {
	return deputy.Refuse(deputy.NotAuthenticated, "cannot tell who asks: the connection was closed")
}

// serve serves a message of the server, in its caller's turn.
func (q *Requests) serve(caller deputy.Caller, peer *wall.Peer, r *wall.Request) {
	peer.AwaitRoom()
	if peer.Gone() { // nobody can be answered
		return
	}
	if err := r.Unpack(); err != nil {
		peer.Break(err)
		return
	}
	if r.Kind.Access() == wall.Signer {
		q.Signed(peer, r)
		return
	}
	if !q.identified(peer, r, false) {
		q.hold(caller, peer, r)
	}
}

// identified serves a request of a connection. false: it needs another turn, for what it
// gets depends on whether its caller has a name, and that is not known yet; held: it had
// another.
func (q *Requests) identified(peer *wall.Peer, r *wall.Request, held bool) (served bool) {
	id, ok := q.Connections.Identity(r.Connection)
	if !ok {
		peer.Answer(r, 0, wall.Outcome{Error: errGone()})
		return true
	}
	whole := id
	pending := q.Callers.Reduce(&id)
	id.Name, id.EndUser = q.Callers.Name(id.Caller), r.EndUser
	j := q.Admission.Judge(r, id)
	if pending && !held && j.Waits(r, whole) {
		return false
	}
	q.Loop.Do(func() { q.Handle(Asked{r, id, j, &reply{ledger: q.Ledger, peer: peer, r: r}}) })
	return true
}

// patience is how long a request waits for the name services to say whether its
// caller has a name, if it would be refused otherwise.
const patience = 3 * time.Second

// hold gives a request another turn once it is known whether its caller has a name.
// It is not charged again.
func (q *Requests) hold(caller deputy.Caller, peer *wall.Peer, r *wall.Request) {
	id, ok := q.Connections.Identity(r.Connection)
	uid, isUID := id.Caller.UID()
	if !ok || !isUID {
		peer.Answer(r, 0, wall.Outcome{Error: errGone()})
		return
	}
	go func() { // as many as requests that wait for an answer, which are bounded
		q.Callers.Users.Await(uid, patience)
		q.Turns.Again(caller, func() {
			if !peer.Gone() {
				q.identified(peer, r, true)
			}
		})
	}()
}

// Handle does what a caller asks for, however it was identified.
func (q *Requests) Handle(a Asked) {
	if !q.Admission.Holds(a.J) {
		a.J = q.Admission.Judge(a.R, a.ID)
	}
	verb := q.Verbs[a.R.Kind]
	refusal := a.J.Refusal
	if refusal == nil {
		refusal = verb.refuse(a)
	}
	if refusal != nil {
		q.Admission.Denied(a.ID, a.R, refusal)
		a.Reply.Refuse(0, refusal)
		return
	}
	verb.Do(a)
}
