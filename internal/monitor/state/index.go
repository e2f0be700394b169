package state

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"deputy"
	"deputy/internal/monitor/policy"
)

// Every index follows from the tasks and keys that there are: whatever adds or removes
// one of them keeps all indexes, and a checkpoint that is restored makes them anew. At
// most one task holds a lock, and at most one waits for it.

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

// LockUse is who has a lock: at most one task holds it, and the others wait.
type LockUse struct {
	Holder  *Task
	Waiting []*Task // in the order in which they came
}

// Seq is the record from which on the server knows both.
func (u LockUse) Seq() uint64 {
	seq := uint64(0)
	for _, t := range u.All() {
		seq = max(seq, t.Seq)
	}
	return seq
}

// All are the holder, if there is one, and those that wait.
func (u LockUse) All() []*Task {
	if u.Holder == nil {
		return nil
	}
	return append([]*Task{u.Holder}, u.Waiting...)
}

// Scope is where an Idempotency-Key counts. It is one string, so that it
// can name a member of a JSON object.
type Scope string

// ScopeOf names it.
func ScopeOf(c deputy.Caller, endUser, key string) Scope {
	text, _ := json.Marshal([]string{string(c), endUser, key}) // strings always marshal
	return Scope(text)
}

// KeyUse is what an Idempotency-Key was used for.
type KeyUse struct {
	Caller deputy.Caller `json:"caller"`
	Digest string        `json:"digest"`
	Tasks  []string      `json:"tasks"`
	Seq    uint64        `json:"seq"`
	Time   deputy.Time   `json:"time"`

	Accepted Moment `json:"accepted"` // Time on the boot clock
}

// Use is what a caller costs now.
type Use struct {
	Live, Keys, Joins int
	Values            int // bytes of memory, about
}

// New knows nothing yet.
func New() *State {
	return &State{
		Tasks: map[string]*Task{}, Keys: map[Scope]*KeyUse{}, Nonces: Nonces{}, Paused: map[string]bool{},
		locks: map[lockName]*LockUse{}, count: map[deputy.Caller]Use{},
	}
}

// restore takes the state of a checkpoint; what was known before is dropped.
func (s *State) restore(text json.RawMessage) error {
	*s = *New()
	read := New()
	if err := json.Unmarshal(text, read); err != nil {
		return fmt.Errorf("cannot read a checkpoint: %w", err)
	}
	for _, t := range slices.SortedFunc(maps.Values(read.Tasks), inLine) {
		s.add(t)
	}
	s.Boot, s.Known, s.Nonces, s.Drains, s.Paused = read.Boot, read.Known, read.Nonces, read.Drains, read.Paused
	for scope, k := range read.Keys {
		s.keep(scope, k)
	}
	return nil
}

// inLine is the order in which tasks have a lock: first who holds it, then those that
// wait, as they were accepted.
func inLine(a, b *Task) int {
	waits := func(t *Task) int {
		if t.Phase == Queued {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(waits(a), waits(b)), cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.ID, b.ID))
}

// Plus is both together.
func (u Use) Plus(more Use) Use {
	return Use{Live: u.Live + more.Live, Keys: u.Keys + more.Keys, Joins: u.Joins + more.Joins, Values: u.Values + more.Values}
}

// UseOf is what a caller costs now.
func (s *State) UseOf(c deputy.Caller) Use { return s.count[c] }

// Uses gives all callers who cost something, and what.
func (s *State) Uses() iter.Seq2[deputy.Caller, Use] { return maps.All(s.count) }

func (s *State) charge(c deputy.Caller, more Use) {
	u := s.count[c]
	u = u.Plus(more)
	if u == (Use{}) {
		delete(s.count, c)
		return
	}
	s.count[c] = u
}

func (s *State) add(t *Task) {
	s.Tasks[t.ID] = t
	t.bytes = reserveTask + int64(len(Canonical(t.Params)))
	s.bytes += t.bytes
	t.values = Weight(map[string]any(t.Params))
	s.values += t.values
	s.charge(t.Caller, Use{Live: 1, Values: t.values})
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
		l = &LockUse{}
		s.locks[t.lock] = l
	}
	if l.Holder == nil {
		l.Holder = t
	} else {
		l.Waiting = append(l.Waiting, t)
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
	s.charge(t.Caller, Use{Live: -1, Values: -t.values})
	for _, p := range t.Joined {
		s.charge(p.Caller, Use{Joins: -1})
	}
	if t.Lock == nil {
		return
	}
	l := s.locks[t.lock]
	switch {
	case l == nil:
	case l.Holder != t:
		l.Waiting = slices.DeleteFunc(l.Waiting, func(w *Task) bool { return w == t })
	case len(l.Waiting) > 0:
		l.Holder, l.Waiting = l.Waiting[0], l.Waiting[1:]
	default:
		l.Holder = nil
	}
	if l != nil && l.Holder == nil {
		delete(s.locks, t.lock)
	}
}

// join notes that a party was given a task that another request had started.
func (s *State) join(t *Task, p deputy.Party, seq uint64) {
	t.JoinSeq = seq
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
	s.charge(p.Caller, Use{Joins: n})
}

// Lock says who has the lock of a module that has these parts.
func (s *State) Lock(module string, parts []string) LockUse { return s.use(s.nameOf(module, parts)) }

// LockOf says who has a task's lock; only for one that has a lock.
func (s *State) LockOf(t *Task) LockUse { return s.use(t.lock) }

func (s *State) use(name lockName) LockUse {
	if l := s.locks[name]; l != nil {
		return *l
	}
	return LockUse{}
}

func (s *State) remember(e *deputy.Event, tasks []string) {
	scope := ScopeOf(e.Caller, e.EndUser, e.Key.Key)
	s.Forget(scope)
	s.keep(scope, &KeyUse{Caller: e.Caller, Digest: e.Key.Digest, Tasks: tasks, Seq: e.Seq, Time: e.Time, Accepted: Moment{s.Boot, e.BootNS}})
}

func (s *State) keep(scope Scope, k *KeyUse) {
	s.Keys[scope] = k
	s.charge(k.Caller, Use{Keys: 1})
	s.bytes += k.bytes(scope)
}

// bytes is what a key needs of the journal's reserve.
func (k *KeyUse) bytes(scope Scope) int64 {
	return reserveKey + int64(2*len(scope)+len(`"",`)*len(k.Tasks)+36*len(k.Tasks))
}

// Forget drops what a key was used for.
func (s *State) Forget(scope Scope) {
	if k := s.Keys[scope]; k != nil {
		delete(s.Keys, scope)
		s.bytes -= k.bytes(scope)
		s.charge(k.Caller, Use{Keys: -1})
	}
}

// Unkey forgets the key of an Accepted event that never became durable.
func (s *State) Unkey(e *deputy.Event) {
	if e.Key != nil {
		s.Forget(ScopeOf(e.Caller, e.EndUser, e.Key.Key))
	}
}

// ExpireKeys forgets what is older than a day.
func (s *State) ExpireKeys(age func(Moment, deputy.Time) time.Duration) {
	for scope, k := range s.Keys {
		if age(k.Accepted, k.Time) > KeyLife {
			s.Forget(scope)
		}
	}
}
