// Package vault keeps the sensitive values of tasks: on the disk, where root alone
// reads them, from before their request is recorded until the task ends.
package vault

import (
	"os"
	"slices"
	"time"

	"deputy"
	"deputy/internal/monitor/clock"
	"deputy/internal/monitor/loop"
	"deputy/internal/monitor/site"
	"deputy/internal/wall"
)

// The vault writes beside the loop, for that takes as long as the
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
)

// Who waits for the disk is not answered meanwhile, and counts in what the wall has
// of requests and their bytes. All of them together have half of that, so that the
// others are read all the same, and one caller a quarter.
const (
	depositsAll   = wall.MaxPending / 2
	depositsBytes = wall.MaxHeld / 2
	depositsOne   = wall.MaxHeld / 4
)

// Deposit is what one request has the vault write. The loop owns it.
type Deposit struct {
	Caller deputy.Caller             // whose limits count
	Files  map[string]map[string]any // the sensitive values, by the id of the task to be
	Bytes  int64                     // what the request holds in memory
	Done   func(*deputy.Error)       // called by the loop, once; without an error it has to release the deposit

	begun  bool
	over   bool // it was told how it went: for one that is still being written, that it took too long
	expiry *clock.Timer
}

// Vault is the loop's own.
type Vault struct {
	loop  *loop.Loop
	paths site.Paths
	gid   int // of the server, which may read the rest of a task's directory

	waiting []*Deposit // not begun, in the order in which they came
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

// New makes a vault of an installation whose server has the group gid.
func New(l *loop.Loop, paths site.Paths, gid int) *Vault {
	return &Vault{loop: l, paths: paths, gid: gid, all: map[deputy.Caller]load{}, ids: map[string]bool{}}
}

func (v *Vault) charge(d *Deposit, more load) {
	l := v.all[d.Caller]
	for _, to := range []*load{&l, &v.sum} {
		to.count, to.writing, to.bytes = to.count+more.count, to.writing+more.writing, to.bytes+more.bytes
	}
	if v.all[d.Caller] = l; l == (load{}) {
		delete(v.all, d.Caller)
	}
}

// room refuses what would be too much, of one caller or of all.
func (v *Vault) room(d *Deposit) *deputy.Error {
	own := v.all[d.Caller]
	if d.Bytes > depositsOne {
		return deputy.Refuse(deputy.TooLarge, "cannot accept: a request with sensitive values has at most %d MiB, and this one %d bytes", depositsOne>>20, d.Bytes)
	}
	if own.count < depositsWait && own.bytes+d.Bytes <= depositsOne && v.sum.count < depositsAll && v.sum.bytes+d.Bytes <= depositsBytes {
		return nil
	}
	e := deputy.Refuse(deputy.RateLimited, "cannot accept: %d requests with sensitive values wait to be written, %d of %s, and no more may; ask again in 1 s", v.sum.count, own.count, d.Caller)
	e.RetryAfter = 1
	return e
}

// next takes the deposit to be written next: of the caller of whom the fewest are
// being written, the oldest; nil: none may begin now.
func (v *Vault) next() *Deposit {
	if v.sum.writing >= depositWriters {
		return nil
	}
	best := -1
	for i, d := range v.waiting {
		if n := v.all[d.Caller].writing; n < depositEach && (best < 0 || n < v.all[v.waiting[best].Caller].writing) {
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

// Put has secrets written, and calls Done once they are synced, or cannot be,
// or not in time.
func (v *Vault) Put(d *Deposit) {
	if refusal := v.room(d); refusal != nil {
		d.Done(refusal)
		return
	}
	for id := range d.Files {
		v.ids[id] = true
	}
	v.charge(d, load{count: 1, bytes: d.Bytes})
	d.expiry = v.loop.After(depositTime, func() { v.depositLate(d) })
	v.waiting = append(v.waiting, d)
	v.writeDeposits()
}

func (v *Vault) writeDeposits() {
	for d := v.next(); d != nil; d = v.next() {
		d.begun = true
		v.charge(d, load{writing: 1})
		go func() { // at most depositWriters; one that hangs holds up none but these
			err := v.write(d.Files)
			v.loop.Post(func() { v.deposited(d, err) })
		}()
	}
}

// deposited goes on after a deposit was written, or could not be.
func (v *Vault) deposited(d *Deposit, err error) {
	v.charge(d, load{writing: -1})
	v.writeDeposits()
	v.loop.Cancel(d.expiry)
	if err != nil || d.over {
		v.Discard(d.ids()...)
		v.Release(d)
	}
	if d.over {
		return
	}
	d.over = true
	if err != nil {
		d.Done(NotWritten("%v", err))
		return
	}
	d.Done(nil)
}

// Release gives back what a deposit holds, once its request has been decided, or is
// no more.
func (v *Vault) Release(d *Deposit) { v.charge(d, load{count: -1, bytes: -d.Bytes}) }

// depositLate answers a request whose secrets are not on the disk in time. What is
// being written cannot be called back: it is dropped when it is.
func (v *Vault) depositLate(d *Deposit) {
	d.over = true
	if !d.begun {
		v.waiting = slices.DeleteFunc(v.waiting, func(w *Deposit) bool { return w == d })
		v.Release(d)
		for _, id := range d.ids() {
			delete(v.ids, id)
		}
	}
	d.Done(NotWritten("its sensitive values could not be written within %v", depositTime))
}

// NotWritten refuses a request whose sensitive values are not on the disk.
func NotWritten(format string, args ...any) *deputy.Error {
	e := deputy.Refuse(deputy.NotDurable, "cannot accept: "+format+"; nothing was started", args...)
	e.RetryAfter = 10
	return e
}

func (d *Deposit) ids() []string {
	ids := make([]string, 0, len(d.Files))
	for id := range d.Files {
		ids = append(ids, id)
	}
	return ids
}

// Discard drops what was written for tasks that never came to be.
func (v *Vault) Discard(ids ...string) {
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
			os.RemoveAll(v.paths.Task(id)) // what cannot be removed now is by the next start
		}
		v.loop.Post(func() {
			for _, id := range now {
				delete(v.ids, id)
			}
			v.dropped = false
			v.Discard()
		})
	}()
}

// Keep lets a task that is being accepted have its file.
func (v *Vault) Keep(id string) { delete(v.ids, id) }

// IDs are those of tasks that are no tasks yet, and whose files there may be.
func (v *Vault) IDs() map[string]bool { return v.ids }
