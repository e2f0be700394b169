package monitor

import (
	"encoding/json"
	"slices"

	"deputy"
	"deputy/internal/monitor/callers"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/state"
	"deputy/internal/wall"
)

// hear gives a message of the server its turn. It runs beside the loop. peer is
// the server that sent it.
func (m *Monitor) hear(peer *wall.Peer, r *wall.Request) {
	if r.Kind == wall.Ping { // the loop is what is asked about
		m.post(func() { peer.Answer(r, 0, wall.Outcome{Beat: m.beat()}) })
		return
	}
	caller, ok := m.asker(r)
	if !ok {
		peer.Answer(r, 0, wall.Outcome{Error: errGone()})
		return
	}
	if refusal := m.turns.put(caller, turn{peer: peer, r: r}, m.deciding.Load().Rate()); refusal != nil {
		peer.Answer(r, 0, wall.Outcome{Error: refusal})
	}
}

// asker is whose turn a request waits for. Who signs is not known yet: one that
// names no key of ours waits with all others that do not.
func (m *Monitor) asker(r *wall.Request) (deputy.Caller, bool) {
	if r.Kind == wall.Signed {
		return m.signer(r), true
	}
	id, ok := m.reception.Identity(r.Connection)
	return m.callers.Account(id.Caller), ok
}

func errGone() *deputy.Error {
	return deputy.Refuse(deputy.NotAuthenticated, "cannot tell who asks: the connection was closed")
}

// request serves a message of the server, in its turn. It runs beside the loop.
// false: it needs another turn, for what it gets depends on whether its caller has a
// name, and that is not known yet.
func (m *Monitor) request(one turn) (served bool) {
	peer, r := one.peer, one.r
	if r.Kind == wall.Signed {
		m.signed(peer, r)
		return true
	}
	id, ok := m.reception.Identity(r.Connection)
	if !ok {
		peer.Answer(r, 0, wall.Outcome{Error: errGone()})
		return true
	}
	whole := id
	pending := m.callers.Reduce(&id)
	id.Name, id.EndUser = m.callers.Name(id.Caller), r.EndUser
	j := m.judge(r, id)
	if pending && !one.held && j.depends(r) && j.policy.Waits(whole) {
		return false
	}
	m.loop.Do(func() { m.handle(peer, r, id, j) })
	return true
}

// beat says how the loop is that makes it.
func (m *Monitor) beat() *wall.Beat {
	b := &wall.Beat{}
	if m.o.LogLost != nil {
		b.LogLost = m.o.LogLost()
	}
	refusal := m.recordable()
	if refusal == nil {
		refusal = m.crowded(1)
	}
	if refusal != nil {
		b.Refusing = refusal.Detail
	}
	return b
}

// handle does what a caller asks for, however it was identified.
func (m *Monitor) handle(peer *wall.Peer, r *wall.Request, id policy.Identity, j *judged) {
	if !m.holds(j) {
		j = m.judge(r, id)
	}
	if j.refusal != nil {
		if r.Kind == wall.Call || r.Kind == wall.Stop {
			m.denied(id, r, j.refusal)
		}
		m.refuse(peer, r, j.refusal)
		return
	}
	switch r.Kind {
	case wall.Call:
		m.call(peer, r, id, j)
	case wall.Stop:
		m.stopCall(peer, r, id)
	case wall.Explain:
		if r.As != "" {
			m.explainAs(peer, r, id, j)
			return
		}
		peer.AnswerText(r, 0, j.text)
	case wall.Rights, wall.Actions:
		peer.AnswerText(r, 0, j.text)
	case wall.Reload:
		m.reloadCall(peer, r, id)
	case wall.Drain:
		m.drainCall(peer, r, id)
	case wall.Upgrade:
		m.upgradeCall(peer, r, id)
	}
}

// maxKey is the longest Idempotency-Key, in bytes.
const maxKey = 255

// call admits a request whole or not at all.
func (m *Monitor) call(peer *wall.Peer, r *wall.Request, id policy.Identity, j *judged) {
	if len(r.Key) > maxKey {
		m.refuse(peer, r, deputy.Refuse(deputy.BadRequest, "cannot use Idempotency-Key: it has more than %d characters; a UUID serves well", maxKey))
		return
	}
	a := &admission{m: m, peer: peer, r: r, id: id}
	a.names, a.plan = j.names, j.plan
	a.proceed()
}

// decideAnew has a request with sensitive values, when these are on the disk, judged
// once more in its caller's turn, and calls decided.
func (a *admission) decideAnew(decided func(*judged)) {
	id := a.id
	a.m.turns.again(a.m.callers.Account(id.Caller), turn{do: func() {
		a.m.callers.Reduce(&id)
		j := a.m.judge(a.r, id)
		a.m.loop.Do(func() {
			a.id = id
			decided(j)
		})
	}})
}

// decide decides a request with sensitive values that are on the disk.
func (a *admission) decide(j *judged) {
	m := a.m
	if !m.holds(j) {
		j = m.judge(a.r, a.id)
	}
	a.names = j.names
	if j.refusal != nil {
		m.denied(a.id, a.r, j.refusal)
		m.refuse(a.peer, a.r, j.refusal)
		return
	}
	a.plan = j.plan
	a.proceed()
}

// proceed is all that becomes of a request that the policy allows.
func (a *admission) proceed() {
	m, plan := a.m, a.plan
	var refusal *deputy.Error
	if a.r.Key != "" {
		a.digests()
		if a.replay() {
			return
		}
	}
	if a.tries == 0 {
		refusal = m.tooOften(a.id.Caller, plan.Action)
	}
	if refusal == nil && (m.leaving || m.ending.Load()) {
		refusal = deputy.Refuse(deputy.NotDurable, "cannot accept: deputy is being stopped; nothing was started")
	}
	switch {
	case refusal != nil:
		m.refuse(a.peer, a.r, refusal)
	case plan.Action.Stops != "":
		a.stops()
	default:
		a.start()
	}
}

// admission is one request on its way in.
type admission struct {
	m      *Monitor
	peer   *wall.Peer
	r      *wall.Request
	id     policy.Identity
	plan   *policy.Plan
	names  uint64 // version of the user database by which it was decided
	digest string // of module, action and values; only with an Idempotency-Key
	before string // the same as an earlier version recorded it

	tries   int                       // how often it had the vault write
	written map[string]map[string]any // sensitive values that are on the disk, by the id of the task to be
	missing map[string]map[string]any // of this decision: those that are not yet
	taken   []string                  // of this decision: ids of written
}

// answer tells the outcome; of a signed request the server has to be told for
// whom, too.
func (a *admission) answer(seq uint64, o wall.Outcome) {
	if a.r.Nonce != nil {
		rights := a.m.policy.Rights(a.id)
		o.Rights = &rights
	}
	a.m.answer(a.peer, a.r, seq, o)
}

// digests makes what tells a request from others with the same Idempotency-Key. With
// sensitive values it is sealed with the key's scope: equal values show nothing equal.
func (a *admission) digests() {
	a.before = a.plan.Digest(func(_, value string) string { return a.m.seal(value) })
	a.digest = a.before
	if a.plan.Secret() {
		a.digest = a.m.seal(string(state.ScopeOf(a.id.Caller, a.id.EndUser, a.r.Key)) + a.before)
	}
}

// replay answers a request whose Idempotency-Key was used before.
func (a *admission) replay() bool {
	m := a.m
	used := m.state.Keys[state.ScopeOf(a.id.Caller, a.id.EndUser, a.r.Key)]
	if used == nil || m.loop.Since(used.Accepted.Boot, used.Accepted.NS, used.Time.Time) > state.KeyLife {
		return false
	}
	if used.Digest != a.digest && used.Digest != a.before {
		m.refuse(a.peer, a.r, deputy.Refuse(deputy.IdempotencyMismatch,
			"cannot accept: the Idempotency-Key %q was used for another action or other values within 24 hours; use a new key for a new request", a.r.Key))
		return true
	}
	seq := used.Seq
	if a.r.Nonce != nil && m.ledger.Unwritable() == nil {
		m.ledger.Record(&deputy.Event{Type: deputy.NonceUsed, Caller: a.id.Caller, Nonce: a.r.Nonce}, ledger.After{})
		seq = m.ledger.Last()
	}
	a.answerWith(seq, wall.Outcome{Tasks: used.Tasks, Replayed: true})
	return true
}

// answerWith answers once the record seq is durable, which it may be already:
// what an answer names can then be looked at.
func (a *admission) answerWith(seq uint64, o wall.Outcome) {
	a.m.ledger.WhenDurable(seq, func(seq uint64) { a.answer(seq, o) }, func(err *deputy.Error) { a.m.refuse(a.peer, a.r, err) })
}

// start makes the tasks of a request, or finds those to join.
func (a *admission) start() {
	a.missing, a.taken = map[string]map[string]any{}, nil
	e := a.event()
	fresh, joins, values := 0, 0, 0
	joinedSeq := uint64(0) // of the newest task joined without a record
	ids := make([]string, 0, len(a.plan.Items))
	for i := range a.plan.Items {
		item := &a.plan.Items[i]
		use := a.use(item)
		task, queued, refusal := a.place(item, use)
		if refusal != nil {
			a.m.refuseAfter(use.Seq(), a.peer, a.r, refusal)
			return
		}
		if task != nil {
			ids = append(ids, task.ID)
			joinedSeq = max(joinedSeq, task.Seq, min(task.JoinSeq, a.m.ledger.Last()))
			known := slices.Contains(task.Joined, a.party())
			if !known || a.r.Key != "" || a.r.Nonce != nil {
				e.Tasks = append(e.Tasks, deputy.TaskRecord{ID: task.ID, Joined: true})
			}
			if !known {
				joins++
			}
			continue
		}
		record := a.record(item, queued)
		ids = append(ids, record.ID)
		e.Tasks = append(e.Tasks, record)
		fresh++
		values += state.Weight(record.Params)
	}
	ids = a.each(ids)
	if len(ids) > len(a.plan.Items) {
		e.IDs = ids
	}
	if refusal := a.m.affordable(a.id.Caller, a.m.set.Config.Default, fresh, joins, a.r.Key != ""); refusal != nil && len(e.Tasks) > 0 {
		a.m.refuse(a.peer, a.r, refusal)
		return
	}
	account := a.m.callers.Account(a.id.Caller)
	if refusal := a.m.state.RoomForValues(callers.Named(a.id.Caller, account), a.m.callers.UseOf(a.m.state, account).Values, values); refusal != nil {
		a.m.refuse(a.peer, a.r, refusal)
		return
	}
	if fresh > 0 && a.m.state.Drains {
		a.m.refuse(a.peer, a.r, drains())
		return
	}
	if len(e.Tasks) == 0 { // joined before by the same caller: nothing new to record
		a.answerWith(joinedSeq, wall.Outcome{Tasks: ids})
		return
	}
	if refusal := a.m.recordable(); refusal != nil {
		a.m.refuse(a.peer, a.r, refusal)
		return
	}
	if len(a.missing) > 0 {
		a.deposit()
		return
	}
	a.accept(e, ids)
}

// each gives the task of each item of the request, of those of its distinct items.
func (a *admission) each(ids []string) []string {
	all := make([]string, len(a.plan.Each))
	for i, item := range a.plan.Each {
		all[i] = ids[item]
	}
	return all
}

// event is the record of this request, without its tasks.
func (a *admission) event() *deputy.Event {
	e := &deputy.Event{
		Type: deputy.Accepted, Caller: a.id.Caller, EndUser: a.id.EndUser,
		Module: a.plan.Action.Module, Action: a.plan.Action.Name, Rule: a.plan.Rule, Policy: a.m.set.Digest, Nonce: a.r.Nonce,
		BootNS: a.m.loop.Now(),
	}
	if a.r.Key != "" {
		e.Key = &deputy.Idempotency{Key: a.r.Key, Digest: a.digest}
	}
	return e
}

// record is a new task as the journal has it.
func (a *admission) record(item *policy.Item, queued bool) deputy.TaskRecord {
	act := a.plan.Action
	run := state.Terms{
		UID: a.id.UID, GIDs: a.id.GIDs, GroupSIDs: a.id.GroupSIDs, Manifest: a.plan.Module.Digest,
		TimeoutMS: act.Timeout.Milliseconds(), WithinMS: act.StartWithin.Milliseconds(), GraceMS: act.Grace.Milliseconds(),
		LingerMS: act.Linger.Milliseconds(),
		Signal:   act.StopSignal, Success: act.SuccessCodes, Stoppable: act.Stoppable,
		Cap: act.OutputCap, KeepMS: act.Keep.Milliseconds(), OneFile: act.StderrToStdout,
		Secret: len(item.Secrets) > 0,
	}
	r := deputy.TaskRecord{ID: a.idFor(item), Queued: queued}
	r.Params = item.Sealed(a.m.seal.OfTask(r.ID))
	r.Run, _ = json.Marshal(run) // plain values
	if item.Lock != nil {
		r.Lock, r.Parts = new(item.LockText()), item.Lock
	}
	return r
}

// accept records the request. It is answered, and its tasks are started, once
// that is durable.
func (a *admission) accept(e *deputy.Event, ids []string) {
	m := a.m
	a.keep()
	m.ledger.Record(e, ledger.After{Durable: func() {
		m.logAccepted(e, a.plan, ids)
		a.answer(e.Seq, wall.Outcome{Tasks: ids})
		for i := range e.Tasks {
			if !e.Tasks[i].Joined {
				m.tasks.Accepted(e.Tasks[i].ID)
			}
		}
	}, Lost: func(err *deputy.Error) {
		for i := range e.Tasks {
			if !e.Tasks[i].Joined {
				m.tasks.Forget(e.Tasks[i].ID)
			}
		}
		m.vault.Discard(a.taken...)
		m.refuse(a.peer, a.r, err)
	}})
	for _, record := range e.Tasks {
		if !record.Joined {
			m.tasks.Decided(record.ID, a.names)
		}
	}
}

// crowded refuses new tasks where no descriptor would be left to watch them by.
func (m *Monitor) crowded(fresh int) *deputy.Error {
	if len(m.state.Tasks)+fresh <= m.reception.MaxTasks() {
		return nil
	}
	e := deputy.Refuse(deputy.NotDurable,
		"cannot accept: %d tasks live, and the limit of open files allows %d; nothing was started, wait until some have ended, or the administrator raises the limit (LimitNOFILE, ulimit -n)",
		len(m.state.Tasks), m.reception.MaxTasks())
	e.RetryAfter = 1
	return e
}
