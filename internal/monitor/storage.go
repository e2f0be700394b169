package monitor

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"deputy"
	"deputy/internal/monitor/journal"
	"deputy/internal/monitor/manifest"
	"deputy/internal/output"
)

const (
	storageEvery  = 10 * time.Second
	expiryEvery   = time.Hour
	readingTime   = 10 * time.Minute // output younger than this goes only if it is deputy that takes too much
	fullEvery     = time.Second      // how often it is seen whether there is room again
	lastPercent   = 1.0              // of the file system: with less left, nothing new is accepted, …
	lastBytes     = 256 << 20        // … nor with less than this, where a percent is more
	removeAtOnce  = 500              // tasks between two looks at the disk, and in one record
	expiresMarker = "expires"        // in a task's directory, where its action declares `keep`
)

// storage keeps what deputy stores within [storage]. All of it but full and
// used belongs to its own goroutine.
type storage struct {
	used atomic.Int64 // bytes of all tasks' directories
	kick chan struct{}
	full string // why nothing can be accepted; owned by the loop
}

// startStorage begins to watch the disk.
func (m *Monitor) startStorage(ctx context.Context) {
	k := &keeperOfSpace{m: m, tasks: m.o.Paths.tasks()}
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

// ended counts the output of a task that has ended. A worker calls it.
func (s *storage) ended(dir string, keepMS int64) {
	if keepMS > 0 {
		until := time.Now().Add(time.Duration(keepMS) * time.Millisecond).UTC().Format(time.RFC3339)
		os.WriteFile(filepath.Join(dir, expiresMarker), []byte(until), 0o640) // without it [storage] keep counts
	}
	s.used.Add(sizeOf(dir))
	s.look()
}

// sizeOf is what a task's directory takes on the disk, in bytes.
func sizeOf(dir string) int64 {
	var sum int64
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		sum += allocated(filepath.Join(dir, entry.Name()))
	}
	return sum + 4096 // the directory itself
}

// keeperOfSpace is the goroutine's own.
type keeperOfSpace struct {
	m       *Monitor
	tasks   string
	expired time.Time // when expiry was last looked at
	full    bool      // the loop was told that nothing can be accepted
}

func (k *keeperOfSpace) run(ctx context.Context) {
	names, _ := os.ReadDir(k.tasks)
	for _, name := range names {
		k.m.storage.used.Add(sizeOf(filepath.Join(k.tasks, name.Name())))
	}
	for {
		k.look()
		if !k.wait(ctx) {
			return
		}
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

// view is what the loop knows and this goroutine needs.
type view struct {
	rules    manifest.Storage
	live     map[string]bool
	segments []journal.Segment
	reserve  int64 // bytes that the journal's reserve needs and has not; 0: it is whole
}

// ask gets the view from the loop; false when the loop has ended.
func (k *keeperOfSpace) ask() (view, bool) {
	ch := make(chan view, 1)
	k.m.post(func() {
		v := view{rules: k.m.set.Config.Storage, live: k.m.liveIDs(), segments: k.m.journal.Segments()}
		if k.m.reserve.short != nil {
			v.reserve = k.m.reserve.asked
		}
		ch <- v
	})
	select {
	case v := <-ch:
		return v, true
	case <-k.m.over:
		return view{}, false
	}
}

// space is how the file system stands, in bytes.
type space struct{ total, free, ours int64 }

func (k *keeperOfSpace) measure() space {
	total, free, err := fileSystem(k.tasks)
	if err != nil {
		return space{}
	}
	return space{total: total, free: free, ours: k.m.storage.used.Load() + k.m.journal.Bytes()}
}

func (s space) of(a manifest.Amount) int64 {
	if a.Percent > 0 {
		return int64(float64(s.total) * a.Percent / 100)
	}
	return a.Bytes
}

// pressed says, from what it costs nothing to know, whether to look closely.
func (k *keeperOfSpace) pressed() bool {
	s := k.measure()
	rules := k.m.rules.Load()
	return rules == nil || k.m.journal.Short() != nil || s.ours > s.of(rules.MaxUse)*9/10 || s.free < s.of(rules.KeepFree)
}

// excess says of what there is too much: deputy's own, or anybody's on the disk.
func (v view) excess(s space) (overUse, underFree bool) {
	return s.ours > s.of(v.rules.MaxUse), s.free < max(s.of(v.rules.KeepFree), v.reserve)
}

// look deletes what is too old, then what is too much: the oldest ended tasks'
// output first, then the oldest segments of the journal.
func (k *keeperOfSpace) look() {
	v, ok := k.ask()
	if !ok {
		return
	}
	s := k.measure()
	overUse, underFree := v.excess(s)
	expire := time.Since(k.expired) > expiryEvery
	if !overUse && !underFree && !expire {
		k.tell(s)
		return
	}
	k.expired = time.Now()
	entries, _ := os.ReadDir(k.tasks) // by name, and a UUIDv7's name is its time
	var removed []string
	for _, entry := range entries {
		id := entry.Name()
		if v.live[id] {
			continue
		}
		dir := filepath.Join(k.tasks, id)
		tooMuch := overUse || underFree && time.Since(lastWrite(dir)) > readingTime
		if !tooMuch && !tooOld(dir, id, v.rules.Keep) {
			continue
		}
		size := sizeOf(dir)
		if err := output.Remove(dir); err != nil {
			continue
		}
		k.m.storage.used.Add(-size)
		if removed = append(removed, id); len(removed) == removeAtOnce {
			k.record(removed)
			removed = nil
		}
		s = k.measure()
		overUse, underFree = v.excess(s)
	}
	k.record(removed)
	k.retire(v, s)
	k.tell(k.measure())
}

// tooOld goes by the directory's own marker, otherwise by the time in the id.
func tooOld(dir, id string, keep time.Duration) bool {
	if text, err := os.ReadFile(filepath.Join(dir, expiresMarker)); err == nil {
		until, err := time.Parse(time.RFC3339, strings.TrimSpace(string(text)))
		return err == nil && time.Now().After(until)
	}
	made, ok := timeOf(id)
	return ok && keep > 0 && time.Since(made) > keep
}

// timeOf reads the creation time out of a UUIDv7 (RFC 9562, section 5.7).
func timeOf(id string) (time.Time, bool) {
	b, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil || len(b) != 16 {
		return time.Time{}, false
	}
	var ms int64
	for _, x := range b[:6] {
		ms = ms<<8 | int64(x)
	}
	return time.UnixMilli(ms), true
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

// record tells the journal, and so the history, whose output is gone.
func (k *keeperOfSpace) record(ids []string) {
	if len(ids) == 0 {
		return
	}
	k.m.post(func() {
		k.m.record(&deputy.Event{Type: deputy.OutputRemoved, IDs: ids}, nil, nil)
	})
}

// retire deletes the journal's oldest segments, when they are too old or when
// nothing else is left to delete.
func (k *keeperOfSpace) retire(v view, s space) {
	n, over := 0, s.ours-s.of(v.rules.MaxUse)
	for _, segment := range v.segments[:max(0, len(v.segments)-1)] {
		if over <= 0 && (v.rules.Keep <= 0 || time.Since(segment.Time) <= v.rules.Keep) {
			break
		}
		n++
		over -= segment.Bytes
	}
	if n == 0 {
		return
	}
	k.m.post(func() { k.m.retireSegments(n) })
}

// retireSegments records the heads of the journal's oldest segments, and has these
// deleted beside the loop once that is durable.
func (m *Monitor) retireSegments(n int) {
	if m.failed != nil || m.retiring {
		return
	}
	events, err := m.journal.Retirement(n)
	if err != nil {
		m.log.Printf("%v", err)
		return
	}
	m.retiring = true
	remove := func() {
		err := m.journal.Remove(n)
		m.post(func() {
			if m.retiring = false; err != nil {
				m.log.Printf("%v", err)
			}
		})
	}
	for i, e := range events {
		var durable func()
		if i == len(events)-1 {
			durable = func() { go remove() }
		}
		m.record(e, durable, nil)
	}
}

// tell lets the loop refuse when there is no room left at all.
func (k *keeperOfSpace) tell(s space) {
	full := ""
	if least := min(float64(s.total)*lastPercent/100, lastBytes); s.total > 0 && float64(s.free) < least {
		full = fmt.Sprintf("the file system of %s has only %d MiB left", k.tasks, s.free>>20)
	}
	k.full = full != ""
	k.m.post(func() {
		if full != "" && k.m.storage.full == "" {
			k.m.log.Printf("nothing new is accepted: %s", full)
		}
		k.m.storage.full = full
	})
}
