package admission

import (
	"deputy"
	"deputy/internal/monitor/callers"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/state"
	"deputy/internal/wall"
	"encoding/json"
	"slices"
)

// A request is admitted whole or not at all: all of its tasks are in one record, or
// there are none. What is asked again with the same Idempotency-Key is answered as it
// was the first time. No answer names a task before the record that makes it is durable.

// maxKey is the longest Idempotency-Key, in bytes.
const maxKey = 255

// Call admits a request whole or not at all.
func (ad *Admission) Call(r *wall.Request, id policy.Identity, j *Judged, reply Reply) {
	if len(r.Key) > maxKey {
		reply.Refuse(0, deputy.Refuse(deputy.BadRequest, "cannot use Idempotency-Key: it has more than %d characters; a UUID serves well", maxKey))
		return
	}
	a := &admission{ad: ad, reply: reply, r: r, id: id}
	a.names, a.plan = j.names, j.plan
	a.proceed()
}

// decideAnew has a request with sensitive values, when these are on the disk, judged
// once more in its caller's turn, and calls decided.
func (a *admission) decideAnew(decided func(*Judged)) {
	id := a.id
	a.ad.Turns.Again(a.ad.Callers.Account(id.Caller), func() {
		a.ad.Callers.Reduce(&id)
		j := a.ad.Judge(a.r, id)
		a.ad.Loop.Do(func() {
			a.id = id
			decided(j)
		})
	})
}

// decide decides a request with sensitive values that are on the disk.
func (a *admission) decide(j *Judged) {
	ad := a.ad
	if !ad.Holds(j) {
		j = ad.Judge(a.r, a.id)
	}
	a.names = j.names
	if j.Refusal != nil {
		ad.Denied(a.id, a.r, j.Refusal)
		a.reply.Refuse(0, j.Refusal)
		return
	}
	a.plan = j.plan
	a.proceed()
}

// proceed is all that becomes of a request that the policy allows.
func (a *admission) proceed() {
	ad, plan := a.ad, a.plan
	var refusal *deputy.Error
	if a.r.Key != "" {
		a.digests()
		if a.replay() {
			return
		}
	}
	if a.tries == 0 {
		refusal = ad.tooOften(a.id.Caller, plan.Action)
	}
	if refusal == nil && (ad.Ending()) {
		refusal = deputy.Refuse(deputy.NotDurable, "cannot accept: deputy is being stopped; nothing was started")
	}
	switch {
	case refusal != nil:
		a.reply.Refuse(0, refusal)
	case plan.Action.Stops != "":
		a.stops()
	default:
		a.start()
	}
}

// admission is one request on its way in.
type admission struct {
	ad     *Admission
	reply  Reply
	r      *wall.Request
	id     policy.Identity
	plan   *policy.Plan
	names  uint64 // version of the user database by which it was decided
	digest string // of module, action and values; only with an Idempotency-Key
	before string // the same as an earlier version recorded it

	tries    int                       // how often it had the vault write
	written  map[string]map[string]any // sensitive values that are on the disk, by the id of the task to be
	missing  map[string]map[string]any // of this decision: those that are not yet
	again    []string                  // of this decision: tasks that it joins, and that wait on for it
	replaces []string                  // of this decision: tasks that are stopped for it
	behind   int                       // of this decision: those that are to wait behind a lock
	taken    []string                  // of this decision: ids of written
}

// digests makes what tells a request from others with the same Idempotency-Key. With
// sensitive values it is sealed with the key's scope: equal values show nothing equal.
func (a *admission) digests() {
	a.before = a.plan.Digest(func(_, value string) string { return a.ad.Seal(value) })
	a.digest = a.before
	if a.plan.Secret() {
		a.digest = a.ad.Seal(string(state.ScopeOf(a.id.Caller, a.id.EndUser, a.r.Key)) + a.before)
	}
}

// replay answers a request whose Idempotency-Key was used before.
func (a *admission) replay() bool {
	ad := a.ad
	used := ad.State.Keys[state.ScopeOf(a.id.Caller, a.id.EndUser, a.r.Key)]
	if used == nil || ad.Loop.Since(used.Accepted.Boot, used.Accepted.NS, used.Time.Time) > state.KeyLife {
		return false
	}
	if used.Digest != a.digest && used.Digest != a.before {
		a.reply.Refuse(0, deputy.Refuse(deputy.IdempotencyMismatch,
			"cannot accept: the Idempotency-Key %q was used for another action or other values within 24 hours; use a new key for a new request", a.r.Key))
		return true
	}
	seq := used.Seq
	if a.r.Nonce != nil && ad.Ledger.Unwritable() == nil {
		ad.Ledger.Record(&deputy.Event{Type: deputy.NonceUsed, Caller: a.id.Caller, Nonce: a.r.Nonce}, ledger.After{})
		seq = ad.Ledger.Last()
	}
	a.answerWith(seq, wall.Outcome{Tasks: used.Tasks, Replayed: true})
	return true
}

// answerWith answers once the record seq is durable, which it may be already:
// what an answer names can then be looked at.
func (a *admission) answerWith(seq uint64, o wall.Outcome) {
	a.ad.Ledger.WhenDurable(seq, func(seq uint64) { a.reply.Answer(seq, o) }, func(err *deputy.Error) { a.reply.Refuse(0, err) })
}

// start makes the tasks of a request, or finds those to join.
func (a *admission) start() {
	a.missing, a.taken = map[string]map[string]any{}, nil
	e := a.event()
	fresh, joins, values := 0, 0, 0
	joinedSeq := uint64(0) // of the newest task joined without a record
	ids := make([]string, 0, len(a.plan.Items))
	line, locked := a.ad.lineOf(a.plan.Action), map[string]bool{} // by an item before, of this request
	a.behind, a.replaces, a.again = 0, nil, nil
	for i := range a.plan.Items {
		item := &a.plan.Items[i]
		use := a.use(item)
		task, queued, refusal := a.place(item, use)
		if refusal != nil {
			a.reply.Refuse(use.Seq(), refusal)
			return
		}
		if task != nil {
			ids = append(ids, task.ID)
			joinedSeq = max(joinedSeq, task.Seq, min(task.JoinSeq, a.ad.Ledger.Last()))
			known := slices.Contains(task.Joined, a.party())
			if !known || a.r.Key != "" || a.r.Nonce != nil {
				e.Tasks = append(e.Tasks, deputy.TaskRecord{ID: task.ID, Joined: true})
			}
			if !known {
				joins++
			}
			continue
		}
		if item.Lock != nil {
			lock := policy.LockKey(item.Lock)
			queued, locked[lock] = queued || locked[lock], true
		}
		record := a.record(item, line.takes(queued))
		ids = append(ids, record.ID)
		e.Tasks = append(e.Tasks, record)
		fresh++
		values += state.Weight(record.Params)
	}
	ids, e.Replaces = a.each(ids), a.replaces
	if len(ids) > len(a.plan.Items) {
		e.IDs = ids
	}
	if refusal := a.ad.affordable(a.id.Caller, a.ad.Policy().Set().Config.Default, fresh, joins, a.r.Key != ""); refusal != nil && len(e.Tasks) > 0 {
		a.reply.Refuse(0, refusal)
		return
	}
	if refusal := line.refuse(); refusal != nil {
		a.reply.Refuse(0, refusal)
		return
	}
	account := a.ad.Callers.Account(a.id.Caller)
	if refusal := a.ad.State.RoomForValues(callers.Named(a.id.Caller, account), a.ad.Callers.UseOf(a.ad.State, account).Values, values); refusal != nil {
		a.reply.Refuse(0, refusal)
		return
	}
	if fresh > 0 && a.ad.State.Drains {
		a.reply.Refuse(0, drains())
		return
	}
	if len(e.Tasks) == 0 { // joined before by the same caller: nothing new to record
		a.askedAgain()
		a.answerWith(joinedSeq, wall.Outcome{Tasks: ids})
		return
	}
	if refusal := a.ad.recordable(); refusal != nil {
		a.reply.Refuse(0, refusal)
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
		Module: a.plan.Action.Module, Action: a.plan.Action.Name, Rule: a.plan.Rule, Policy: a.ad.Policy().Set().Digest, Nonce: a.r.Nonce,
		BootNS: a.ad.Loop.Now(),
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
		UID: a.id.UID, GIDs: a.id.GIDs, GroupSIDs: a.id.GroupSIDs, Manifest: act.Digest,
		TimeoutMS: act.Timeout.Milliseconds(), WithinMS: act.StartWithin.Milliseconds(), GraceMS: act.Grace.Milliseconds(),
		LingerMS: act.Linger.Milliseconds(),
		Signal:   act.StopSignal, Success: act.SuccessCodes, Stoppable: act.Stoppable,
		Cap: act.OutputCap, KeepMS: act.Keep.Milliseconds(), OneFile: act.StderrToStdout,
		Secret: len(item.Secrets) > 0,
	}
	if d := act.Debounce; d != nil {
		run.QuietMS, run.AtMostMS = d.Quiet.Milliseconds(), d.Max.Milliseconds()
	}
	r := deputy.TaskRecord{ID: a.idFor(item), Queued: queued}
	r.Params = item.Sealed(a.ad.Seal.OfTask(r.ID))
	r.Run, _ = json.Marshal(run) // plain values
	if item.Lock != nil {
		r.Lock, r.Parts = new(item.LockText()), item.Lock
	}
	return r
}

// accept records the request. It is answered, and its tasks are started, once
// that is durable.
func (a *admission) accept(e *deputy.Event, ids []string) {
	ad := a.ad
	a.keep()
	a.askedAgain()
	ad.Ledger.Record(e, ledger.After{Durable: func() {
		ad.logAccepted(e, a.plan, ids)
		a.reply.Answer(e.Seq, wall.Outcome{Tasks: ids})
		for _, id := range e.Replaces {
			if t := ad.Tasks.Get(id); t != nil {
				ad.Tasks.StopFor(t, t.Ordered)
			}
		}
		for i := range e.Tasks {
			if !e.Tasks[i].Joined {
				ad.Tasks.Accepted(e.Tasks[i].ID, e.Tasks[i].Queued)
			}
		}
	}, Lost: func(err *deputy.Error) {
		for i := range e.Tasks {
			if !e.Tasks[i].Joined {
				ad.Tasks.Forget(e.Tasks[i].ID, err)
			}
		}
		ad.Vault.Discard(a.taken...)
		a.reply.Refuse(0, err)
	}})
	for _, record := range e.Tasks {
		if !record.Joined {
			ad.Tasks.Decided(record.ID, a.names)
		}
	}
}
