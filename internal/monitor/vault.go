package monitor

import (
	"maps"
	"os"
	"slices"
	"time"

	"deputy"
	"deputy/internal/monitor/clock"
	"deputy/internal/monitor/policy"
	"deputy/internal/uuid7"
	"deputy/internal/wall"
)

// The vault writes sensitive values beside the loop, for that takes as long as the
// disk does. They are on the disk before their request is: a task never lacks them.
//
// A request that would make tasks with secrets is decided twice. First as any other,
// but instead of being recorded it deposits the secrets under the ids of the tasks
// to be. Once they are synced it is decided anew, as if it came only now, by the
// policy, the locks and the keys of that moment, and finds its files there. Nothing
// is held for it meanwhile, and nobody waits for it: what it does not need after
// all is dropped. What a crash left is dropped by the next start: see sweepVault.

const (
	depositTime    = 10 * time.Second // how long a request waits for its secrets to be on the disk
	depositWriters = 4                // deposits that are written at a time, …
	depositEach    = 2                // … of one caller
	depositsWait   = 64               // of one caller, those being written included
	depositTries   = 3                // a request that always finds that it needs more gives up
)

// Who waits for the disk is not answered meanwhile, and counts in what the wall has
// of requests and their bytes. All of them together have half of that, so that the
// others are read all the same, and one caller a quarter.
const (
	depositsAll   = wall.MaxPending / 2
	depositsBytes = wall.MaxHeld / 2
	depositsOne   = wall.MaxHeld / 4
)

// deposit is what one request has the vault write. The loop owns it.
type deposit struct {
	caller deputy.Caller             // whose limits count
	files  map[string]map[string]any // the sensitive values, by the id of the task to be
	bytes  int64                     // what the request holds in memory
	begun  bool
	over   bool // it was told how it went: for one that is still being written, that it took too long
	expiry *clock.Timer
	done   func(*deputy.Error) // called by the loop, once; without an error it has to release the deposit
}

// vault is the loop's own.
type vault struct {
	waiting []*deposit // not begun, in the order in which they came
	all     map[deputy.Caller]load
	sum     load
	ids     map[string]bool // of tasks that are no tasks yet, and whose files there may be
	unused  []string        // of these, whose files are to be dropped
	dropped bool            // a goroutine drops some
}

// load is what deposits cost, of one caller or of all.
type load struct {
	count, writing int
	bytes          int64
}

func newVault() vault { return vault{all: map[deputy.Caller]load{}, ids: map[string]bool{}} }

func (v *vault) charge(d *deposit, more load) {
	l := v.all[d.caller]
	for _, to := range []*load{&l, &v.sum} {
		to.count, to.writing, to.bytes = to.count+more.count, to.writing+more.writing, to.bytes+more.bytes
	}
	if v.all[d.caller] = l; l == (load{}) {
		delete(v.all, d.caller)
	}
}

// room refuses what would be too much, of one caller or of all.
func (v *vault) room(d *deposit) *deputy.Error {
	own := v.all[d.caller]
	if d.bytes > depositsOne {
		return deputy.Refuse(deputy.TooLarge, "cannot accept: a request with sensitive values has at most %d MiB, and this one %d bytes", depositsOne>>20, d.bytes)
	}
	if own.count < depositsWait && own.bytes+d.bytes <= depositsOne && v.sum.count < depositsAll && v.sum.bytes+d.bytes <= depositsBytes {
		return nil
	}
	return comeBack(1, "cannot accept: %d requests with sensitive values wait to be written, %d of %s, and no more may", v.sum.count, own.count, d.caller)
}

// next takes the deposit to be written next: of the caller of whom the fewest are
// being written, the oldest; nil: none may begin now.
func (v *vault) next() *deposit {
	if v.sum.writing >= depositWriters {
		return nil
	}
	best := -1
	for i, d := range v.waiting {
		if n := v.all[d.caller].writing; n < depositEach && (best < 0 || n < v.all[v.waiting[best].caller].writing) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	d := v.waiting[best]
	v.waiting = slices.Delete(v.waiting, best, best+1)
	return d
}

// deposit has secrets written, and calls done once they are synced, or cannot be,
// or not in time.
func (m *Monitor) deposit(d *deposit) {
	v := &m.vault
	if refusal := v.room(d); refusal != nil {
		d.done(refusal)
		return
	}
	for id := range d.files {
		v.ids[id] = true
	}
	v.charge(d, load{count: 1, bytes: d.bytes})
	d.expiry = m.loop.After(depositTime, func() { m.depositLate(d) })
	v.waiting = append(v.waiting, d)
	m.writeDeposits()
}

func (m *Monitor) writeDeposits() {
	for d := m.vault.next(); d != nil; d = m.vault.next() {
		d.begun = true
		m.vault.charge(d, load{writing: 1})
		go func() { // at most depositWriters; one that hangs holds up none but these
			err := m.writeSecrets(d.files)
			m.post(func() { m.deposited(d, err) })
		}()
	}
}

// deposited goes on after a deposit was written, or could not be.
func (m *Monitor) deposited(d *deposit, err error) {
	m.vault.charge(d, load{writing: -1})
	m.writeDeposits()
	m.loop.Cancel(d.expiry)
	if err != nil || d.over {
		m.discard(d.ids()...)
		m.release(d)
	}
	if d.over {
		return
	}
	d.over = true
	if err != nil {
		d.done(notDeposited("%v", err))
		return
	}
	d.done(nil)
}

// release gives back what a deposit holds, once its request has been decided, or is
// no more.
func (m *Monitor) release(d *deposit) { m.vault.charge(d, load{count: -1, bytes: -d.bytes}) }

// depositLate answers a request whose secrets are not on the disk in time. What is
// being written cannot be called back: it is dropped when it is.
func (m *Monitor) depositLate(d *deposit) {
	d.over = true
	if !d.begun {
		m.vault.waiting = slices.DeleteFunc(m.vault.waiting, func(w *deposit) bool { return w == d })
		m.release(d)
		for _, id := range d.ids() {
			delete(m.vault.ids, id)
		}
	}
	d.done(notDeposited("its sensitive values could not be written within %v", depositTime))
}

// idFor gives the id of a new task: one with secrets has that under which they are
// on the disk, or are to be.
func (a *admission) idFor(item *policy.Item) string {
	if item.Secrets == nil {
		return uuid7.New()
	}
	for id, secrets := range a.written {
		if maps.Equal(secrets, item.Secrets) && !slices.Contains(a.taken, id) {
			a.taken = append(a.taken, id)
			return id
		}
	}
	id := uuid7.New()
	a.missing[id] = item.Secrets
	return id
}

// deposit has the vault write what this request's tasks lack, and decides it anew.
func (a *admission) deposit() {
	if a.tries++; a.tries > depositTries {
		a.m.refuse(a.peer, a.r, notDeposited("other requests took the place of its tasks each time that their sensitive values had been written"))
		a.drop()
		return
	}
	d := &deposit{caller: a.m.account(a.id.Caller), files: a.missing, bytes: int64(a.r.Size)}
	d.done = func(refusal *deputy.Error) {
		if refusal != nil {
			a.m.refuse(a.peer, a.r, refusal)
			a.drop()
			return
		}
		if a.written == nil {
			a.written = d.files
		} else {
			maps.Copy(a.written, d.files)
		}
		a.decideAnew(func(j *judged) {
			a.m.release(d)
			tries := a.tries
			a.decide(j)
			if a.tries == tries { // otherwise it waits once more
				a.drop()
			}
		})
	}
	a.m.deposit(d)
}

// keep lets the tasks that are being accepted have their files.
func (a *admission) keep() {
	for _, id := range a.taken {
		delete(a.written, id)
		delete(a.m.vault.ids, id)
	}
}

// drop drops what was written and is not needed.
func (a *admission) drop() { a.m.discard(slices.Collect(maps.Keys(a.written))...) }

func notDeposited(format string, args ...any) *deputy.Error {
	e := deputy.Refuse(deputy.NotDurable, "cannot accept: "+format+"; nothing was started", args...)
	e.RetryAfter = 10
	return e
}

func (d *deposit) ids() []string {
	ids := make([]string, 0, len(d.files))
	for id := range d.files {
		ids = append(ids, id)
	}
	return ids
}

// discard drops what was written for tasks that never came to be.
func (m *Monitor) discard(ids ...string) {
	v := &m.vault
	for _, id := range ids {
		v.ids[id] = true
	}
	if v.unused = append(v.unused, ids...); len(v.unused) == 0 || v.dropped {
		return
	}
	now := v.unused
	v.unused, v.dropped = nil, true
	go func() {
		for _, id := range now {
			os.RemoveAll(m.o.Paths.Task(id)) // what cannot be removed now is by the next start
		}
		m.post(func() {
			for _, id := range now {
				delete(v.ids, id)
			}
			v.dropped = false
			m.discard()
		})
	}()
}
