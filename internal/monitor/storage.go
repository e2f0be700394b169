package monitor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"deputy"
	"deputy/internal/monitor/state"
	"deputy/internal/monitor/vault"
	"deputy/internal/output"
	"deputy/internal/uuid7"
)

const (
	storageEvery  = 10 * time.Second
	expiryEvery   = time.Hour
	fullEvery     = time.Second // how often it is seen whether there is room again
	expiresMarker = "expires"   // in a task's directory, where its action declares `keep`
)

// storage keeps what deputy stores within [storage]. All of it but full and the
// shelf belongs to its own goroutine.
type storage struct {
	shelf shelf
	kick  chan struct{}
	full  string // why nothing can be accepted; owned by the loop
}

// startStorage begins to watch the disk.
func (m *Monitor) startStorage(ctx context.Context) {
	k := &keeperOfSpace{m: m, tasks: m.o.Paths.Tasks()}
	m.storage.kick = make(chan struct{}, 1)
	go k.run(ctx)
}

// look has the disk looked at now.
func (s *storage) look() {
	select {
	case s.kick <- struct{}{}:
	default: // it is about to be, or nobody looks yet
	}
}

// leavings is what a worker must know of a task that has ended.
type leavings struct {
	id                 string
	caller             deputy.Caller // to whom it is charged
	keep               time.Duration // how long its output is kept; 0: as [storage] says
	noStdout, noStderr bool
	secret             bool // it had secrets, which are gone
}

// left says what becomes of what a task that has ended leaves in its directory. A
// worker calls tidy.
func (m *Monitor) left(t *state.Task, e *deputy.Event) (tidy func()) {
	empty := func(o *deputy.Output) bool { return o.Bytes == 0 && !o.Rewritten }
	l := leavings{
		id: t.ID, caller: m.callers.Account(t.Caller), keep: time.Duration(t.Terms.KeepMS) * time.Millisecond,
		noStdout: empty(e.Out), noStderr: empty(e.Err), secret: t.Terms.Secret,
	}
	return func() {
		if l.secret {
			vault.Forget(m.o.Paths.Task(l.id))
		}
		m.capper.Beside(func() { m.shelve(l) })
	}
}

// shelve takes care of what a task that has ended leaves in its directory: what
// is empty goes, the rest is charged to its caller. A worker calls it.
func (m *Monitor) shelve(l leavings) {
	defer m.storage.look()
	dir := m.o.Paths.Task(l.id)
	if !m.capper.Tidy(dir, l.noStdout, l.noStderr, l.secret) {
		return
	}
	k := keptOutput{id: l.id}
	if l.keep > 0 {
		k.until = time.Now().Add(l.keep)
		text := k.until.UTC().Format(time.RFC3339)
		os.WriteFile(filepath.Join(dir, expiresMarker), []byte(text), 0o640) // without it [storage] keep counts
	}
	_ = writeOwner(dir, l.caller) // without it nobody in particular is charged after the next start
	k.size = sizeOf(dir)
	m.storage.shelf.put(l.caller, k)
}

// sizeOf is what a task's directory takes on the disk.
func sizeOf(dir string) charge {
	sum := charge{bytes: 4096, inodes: 1} // the directory itself
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		sum.add(charge{allocated(filepath.Join(dir, entry.Name())), 1})
	}
	return sum
}

// keeperOfSpace is the goroutine's own.
type keeperOfSpace struct {
	m       *Monitor
	tasks   string
	expired time.Time // when expiry was last looked at
	full    bool      // the loop was told that nothing can be accepted
}

func (k *keeperOfSpace) run(ctx context.Context) {
	k.find()
	for {
		k.look()
		if !k.wait(ctx) {
			return
		}
	}
}

// find puts on the shelf what tasks of earlier monitors left. The names come
// first: what is among them and does not live then has ended.
func (k *keeperOfSpace) find() {
	entries, _ := os.ReadDir(k.tasks)
	v, ok := k.ask()
	if !ok {
		return
	}
	for _, entry := range entries {
		id, dir := entry.Name(), filepath.Join(k.tasks, entry.Name())
		if _, isTask := uuid7.Time(id); v.live[id] || !isTask {
			k.m.capper.SweepSpare(dir)
			continue
		}
		if !output.Sweep(dir) {
			continue
		}
		found := keptOutput{id: id, size: sizeOf(dir)}
		if text, err := os.ReadFile(filepath.Join(dir, expiresMarker)); err == nil {
			found.until, _ = time.Parse(time.RFC3339, strings.TrimSpace(string(text)))
		}
		k.m.storage.shelf.put(readOwner(dir), found)
	}
}

// wait returns true when it is time to look closely, false at the end.
func (k *keeperOfSpace) wait(ctx context.Context) bool {
	tick := time.NewTimer(storageEvery)
	defer tick.Stop()
	var again <-chan time.Time
	if k.full {
		ticker := time.NewTicker(fullEvery)
		defer ticker.Stop()
		again = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
			return true
		case <-again:
			k.tell(k.measure()) // somebody may have made room
		case <-k.m.storage.kick:
			if k.pressed() { // the common case costs one statfs(2)
				return true
			}
		}
	}
}

func lastWrite(dir string) time.Time {
	var last time.Time
	for _, name := range []string{output.Stdout, output.Stderr} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}
