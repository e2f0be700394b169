package monitor

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"deputy"
	"deputy/internal/monitor/policy"
)

// lockName is a lock within its module. It is known by the parts that it was made
// of: "{site}-{job}" of "a-b" and "c" is another than of "a" and "b-c". Of a task
// that an earlier version accepted the text alone is known.
type lockName struct{ module, parts, text string }

// nameOf gives the lock that has these parts. While a task that is known by its
// text alone holds or awaits one that reads the same, it may be that one.
func (s *State) nameOf(module string, parts []string) lockName {
	if byText := (lockName{module: module, text: strings.Join(parts, "")}); s.locks[byText] != nil {
		return byText
	}
	return lockName{module: module, parts: policy.LockKey(parts)}
}

// lockUse is who has a lock: at most one task holds it, at most one waits.
type lockUse struct{ holder, waiting *Task }

// seq is the record from which on the server knows both.
func (u lockUse) seq() uint64 {
	seq := uint64(0)
	for _, t := range []*Task{u.holder, u.waiting} {
		if t != nil {
			seq = max(seq, t.Seq)
		}
	}
	return seq
}

// keyScope is where an Idempotency-Key counts. It is one string, so that it
// can name a member of a JSON object.
type keyScope string

func scopeOf(c deputy.Caller, endUser, key string) keyScope {
	text, _ := json.Marshal([]string{string(c), endUser, key}) // strings always marshal
	return keyScope(text)
}

// keyUse is what an Idempotency-Key was used for.
type keyUse struct {
	Caller deputy.Caller `json:"caller"`
	Digest string        `json:"digest"`
	Tasks  []string      `json:"tasks"`
	Seq    uint64        `json:"seq"`
	Time   deputy.Time   `json:"time"`

	Accepted moment `json:"accepted"` // Time on the boot clock
}

// use is what a caller costs now.
type use struct{ live, keys, joins, values int }

func newState() *State {
	return &State{
		Tasks: map[string]*Task{}, Keys: map[keyScope]*keyUse{}, Nonces: nonces{},
		locks: map[lockName]*lockUse{}, count: map[deputy.Caller]use{},
	}
}

// restore takes the state of a checkpoint; what was known before is dropped.
func (s *State) restore(text json.RawMessage) error {
	*s = *newState()
	read := newState()
	if err := json.Unmarshal(text, read); err != nil {
		return fmt.Errorf("cannot read a checkpoint: %w", err)
	}
	for _, t := range read.Tasks {
		if t.Phase != Queued {
			s.add(t) // holders first, so that the waiting find them
		}
	}
	for _, t := range read.Tasks {
		if t.Phase == Queued {
			s.add(t)
		}
	}
	s.Boot, s.Known, s.Nonces, s.Drains = read.Boot, read.Known, read.Nonces, read.Drains
	for scope, k := range read.Keys {
		s.keep(scope, k)
	}
	return nil
}

func (s *State) charge(c deputy.Caller, more use) {
	u := s.count[c]
	u.live, u.keys, u.joins, u.values = u.live+more.live, u.keys+more.keys, u.joins+more.joins, u.values+more.values
	if u == (use{}) {
		delete(s.count, c)
		return
	}
	s.count[c] = u
}

func (s *State) add(t *Task) {
	s.Tasks[t.ID] = t
	t.bytes = reserveTask + int64(len(canonical(t.Params)))
	s.bytes += t.bytes
	t.values = weight(map[string]any(t.Params))
	s.values += t.values
	s.charge(t.Caller, use{live: 1, values: t.values})
	joined := t.Joined
	t.Joined = nil
	for _, p := range joined {
		s.join(t, p, 0)
	}
	if t.Lock == nil {
		return
	}
	t.lock = lockName{module: t.Module, text: *t.Lock}
	if len(t.Parts) > 0 {
		t.lock = s.nameOf(t.Module, t.Parts)
	}
	l := s.locks[t.lock]
	if l == nil {
		l = &lockUse{}
		s.locks[t.lock] = l
	}
	if l.holder == nil {
		l.holder = t
	} else {
		l.waiting = t
	}
}

// remove forgets a task and gives its lock to the one that waits.
func (s *State) remove(id string) {
	t := s.Tasks[id]
	if t == nil {
		return
	}
	delete(s.Tasks, id)
	s.bytes -= t.bytes
	s.values -= t.values
	s.charge(t.Caller, use{live: -1, values: -t.values})
	for _, p := range t.Joined {
		s.charge(p.Caller, use{joins: -1})
	}
	if t.Lock == nil {
		return
	}
	l := s.locks[t.lock]
	switch {
	case l == nil:
	case l.waiting == t:
		l.waiting = nil
	case l.holder == t:
		l.holder, l.waiting = l.waiting, nil
	}
	if l != nil && l.holder == nil {
		delete(s.locks, t.lock)
	}
}

// join notes that a party was given a task that another request had started.
func (s *State) join(t *Task, p deputy.Party, seq uint64) {
	t.joinSeq = seq
	if !slices.Contains(t.Joined, p) {
		t.Joined = append(t.Joined, p)
		s.weigh(t, p, 1)
	}
}

func (s *State) unjoin(t *Task, p deputy.Party) {
	if i := slices.Index(t.Joined, p); i >= 0 {
		t.Joined = slices.Delete(t.Joined, i, i+1)
		s.weigh(t, p, -1)
	}
}

// weigh counts what it costs to remember that a party has joined.
func (s *State) weigh(t *Task, p deputy.Party, n int) {
	text, _ := json.Marshal(p) // strings always marshal
	t.bytes += int64(n * (len(text) + 1))
	s.bytes += int64(n * (len(text) + 1))
	s.charge(p.Caller, use{joins: n})
}

// use says who holds and who waits for a lock.
func (s *State) use(name lockName) lockUse {
	if l := s.locks[name]; l != nil {
		return *l
	}
	return lockUse{}
}

func (s *State) remember(e *deputy.Event, tasks []string) {
	scope := scopeOf(e.Caller, e.EndUser, e.Key.Key)
	s.forget(scope)
	s.keep(scope, &keyUse{Caller: e.Caller, Digest: e.Key.Digest, Tasks: tasks, Seq: e.Seq, Time: e.Time, Accepted: moment{s.Boot, e.BootNS}})
}

func (s *State) keep(scope keyScope, k *keyUse) {
	s.Keys[scope] = k
	s.charge(k.Caller, use{keys: 1})
	s.bytes += k.bytes(scope)
}

// bytes is what a key needs of the journal's reserve.
func (k *keyUse) bytes(scope keyScope) int64 {
	return reserveKey + int64(2*len(scope)+len(`"",`)*len(k.Tasks)+36*len(k.Tasks))
}

func (s *State) forget(scope keyScope) {
	if k := s.Keys[scope]; k != nil {
		delete(s.Keys, scope)
		s.bytes -= k.bytes(scope)
		s.charge(k.Caller, use{keys: -1})
	}
}

// expireKeys forgets what is older than a day.
func (s *State) expireKeys(age func(moment, deputy.Time) time.Duration) {
	for scope, k := range s.Keys {
		if age(k.Accepted, k.Time) > keyLife {
			s.forget(scope)
		}
	}
}
