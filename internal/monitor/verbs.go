package monitor

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"deputy"
	"deputy/internal/monitor/admission"
	"deputy/internal/monitor/policy"
	"deputy/internal/wall"
)

// A request of the server is given its caller's turn, judged there by the policy, and
// then done by the loop: by the handler of its verb, to which it no longer matters how
// it came. Who may ask for a verb says its row of the wall's table, and handle alone
// holds everybody to it.

// asked is a request whose caller is known.
type asked struct {
	r     *wall.Request
	id    policy.Identity
	j     *admission.Judged
	reply admission.Reply
}

// verb is what may be asked for, and what does it.
type verb struct {
	wall.Verb
	do func(asked) // nil: it is no request of its own
}

type verbs map[wall.Kind]verb

// handlers do what each verb asks for. The loop calls them.
func (m *Monitor) handlers() map[wall.Kind]func(asked) {
	return map[wall.Kind]func(asked){
		wall.Call:    func(a asked) { m.admission.Call(a.r, a.id, a.j, a.reply) },
		wall.Stop:    func(a asked) { m.admission.Stop(a.r, a.id, a.reply) },
		wall.Explain: func(a asked) { m.admission.Explain(a.r, a.id, a.j, a.reply) },
		wall.Rights:  func(a asked) { a.reply.Text(a.j.Text) },
		wall.Actions: func(a asked) { a.reply.Text(a.j.Text) },
		wall.Reload:  m.reloadAsked,
		wall.Drain:   m.drainAsked,
		wall.Upgrade: m.upgradeAsked,
		wall.Queues:  m.queuesAsked,
		wall.Queue:   m.queueAsked,
		wall.Ping:    func(a asked) { a.reply.Answer(0, wall.Outcome{Beat: m.beat()}) },
	}
}

// join gives each row its handler.
func join(rows map[wall.Kind]wall.Verb, handlers map[wall.Kind]func(asked)) verbs {
	all := verbs{}
	for kind, row := range rows {
		all[kind] = verb{row, handlers[kind]}
	}
	for kind, do := range handlers {
		all[kind] = verb{rows[kind], do}
	}
	return all
}

// check refuses verbs that nobody guards, or that nothing does: with them nothing is
// served at all.
func (v verbs) check() error {
	for _, kind := range slices.Sorted(maps.Keys(v)) {
		switch row := v[kind]; row.Access {
		case wall.Opening, wall.Signer:
			if row.do != nil {
				return fmt.Errorf("cannot serve: the verb %q (kind %d) has a handler, and nobody may ask for it", row.Name, kind)
			}
		case wall.Anyone, wall.Caller, wall.Operator:
			if row.do == nil {
				return fmt.Errorf("cannot serve: the verb %q (kind %d) has no handler", row.Name, kind)
			}
		default:
			return fmt.Errorf("cannot serve: the verb %q (kind %d) has no access", row.Name, kind)
		}
	}
	return nil
}

// refuse says why whoever asks may not ask for the verb, whatever for; nil: it may.
func (v *verb) refuse(a asked) *deputy.Error {
	switch {
	case v.Access == wall.Caller, v.Access == wall.Operator && a.j.Operator():
		return nil
	case v.Access == wall.Operator:
		return deputy.Refuse(deputy.NotAllowed, "%s may not %s: only an operator may", a.id, v.Name)
	}
	return deputy.Refuse(deputy.NotAllowed, "%s may not ask for this", a.id)
}

// hear gives a message of the server its turn. It runs beside the loop. peer is
// the server that sent it.
func (m *Monitor) hear(peer *wall.Peer, r *wall.Request) {
	if verb := m.requests.verbs[r.Kind]; verb.Access == wall.Anyone { // it waits for the loop alone
		m.post(func() { verb.do(asked{r: r, reply: &reply{ledger: m.ledger, peer: peer, r: r}}) })
		return
	}
	caller, ok := m.asker(r)
	if !ok {
		peer.Answer(r, 0, wall.Outcome{Error: errGone()})
		return
	}
	if refusal := m.requests.turns.Put(caller, func() { m.serve(caller, peer, r) }, m.policy.Load().Rate()); refusal != nil {
		peer.Answer(r, 0, wall.Outcome{Error: refusal})
	}
}

// asker is whose turn a request waits for. Who signs is not known yet: one that
// names no key of ours waits with all others that do not.
func (m *Monitor) asker(r *wall.Request) (deputy.Caller, bool) {
	if r.Kind.Access() == wall.Signer {
		return m.signers.Signer(r), true
	}
	id, ok := m.reception.Identity(r.Connection)
	return m.callers.Account(id.Caller), ok
}

func errGone() *deputy.Error {
	return deputy.Refuse(deputy.NotAuthenticated, "cannot tell who asks: the connection was closed")
}

// serve serves a message of the server, in its caller's turn.
func (m *Monitor) serve(caller deputy.Caller, peer *wall.Peer, r *wall.Request) {
	peer.AwaitRoom()
	if peer.Gone() { // nobody can be answered
		return
	}
	if err := r.Unpack(); err != nil {
		peer.Break(err)
		return
	}
	if r.Kind.Access() == wall.Signer {
		m.signed(peer, r)
		return
	}
	if !m.identified(peer, r, false) {
		m.hold(caller, peer, r)
	}
}

// identified serves a request of a connection. false: it needs another turn, for what it
// gets depends on whether its caller has a name, and that is not known yet; held: it had
// another.
func (m *Monitor) identified(peer *wall.Peer, r *wall.Request, held bool) (served bool) {
	id, ok := m.reception.Identity(r.Connection)
	if !ok {
		peer.Answer(r, 0, wall.Outcome{Error: errGone()})
		return true
	}
	whole := id
	pending := m.callers.Reduce(&id)
	id.Name, id.EndUser = m.callers.Name(id.Caller), r.EndUser
	j := m.admission.Judge(r, id)
	if pending && !held && j.Waits(r, whole) {
		return false
	}
	m.loop.Do(func() { m.handle(asked{r, id, j, &reply{ledger: m.ledger, peer: peer, r: r}}) })
	return true
}

// patience is how long a request waits for the name services to say whether its
// caller has a name, if it would be refused otherwise.
const patience = 3 * time.Second

// hold gives a request another turn once it is known whether its caller has a name.
// It is not charged again.
func (m *Monitor) hold(caller deputy.Caller, peer *wall.Peer, r *wall.Request) {
	id, ok := m.reception.Identity(r.Connection)
	uid, isUID := id.Caller.UID()
	if !ok || !isUID {
		peer.Answer(r, 0, wall.Outcome{Error: errGone()})
		return
	}
	go func() { // as many as requests that wait for an answer, which are bounded
		m.callers.Users.Await(uid, patience)
		m.requests.turns.Again(caller, func() {
			if !peer.Gone() {
				m.identified(peer, r, true)
			}
		})
	}()
}

// beat says how the loop is that makes it.
func (m *Monitor) beat() *wall.Beat {
	b := &wall.Beat{}
	if m.o.LogLost != nil {
		b.LogLost = m.o.LogLost()
	}
	if refusal := m.admission.Refusing(); refusal != nil {
		b.Refusing = refusal.Detail
	}
	return b
}

// handle does what a caller asks for, however it was identified.
func (m *Monitor) handle(a asked) {
	if !m.admission.Holds(a.j) {
		a.j = m.admission.Judge(a.r, a.id)
	}
	verb := m.requests.verbs[a.r.Kind]
	refusal := a.j.Refusal
	if refusal == nil {
		refusal = verb.refuse(a)
	}
	if refusal != nil {
		m.admission.Denied(a.id, a.r, refusal)
		a.reply.Refuse(0, refusal)
		return
	}
	verb.do(a)
}
