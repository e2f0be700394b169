package monitor

import (
	"fmt"
	"path/filepath"
	"time"

	"deputy"
	"deputy/internal/monitor/journal"
	"deputy/internal/monitor/ledger"
	"deputy/internal/monitor/manifest"
	"deputy/internal/output"
)

const (
	readingTime  = 10 * time.Minute // output younger than this is spared, unless it is deputy, or its caller, that takes too much
	lastPercent  = 1.0              // of the file system: with less left, nothing new is accepted, …
	lastBytes    = 256 << 20        // … nor with less than this, where a percent is more
	lastInodes   = 4096             // the same of inodes, …
	leastInodes  = 16               // … of which a few are needed however few there are
	removeAtOnce = 500              // tasks in one record
)

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
		v.reserve = k.m.ledger.Lacks()
		ch <- v
	})
	select {
	case v := <-ch:
		return v, true
	case <-k.m.loop.Over():
		return view{}, false
	}
}

// disk is how a file system stands: in bytes, and in inodes, of which those that
// make them as they need them have no number, and say 0.
type disk struct {
	total, free        int64
	inodes, freeInodes int64
}

// space is that, and what of it is ours.
type space struct {
	disk
	ours       int64
	oursInodes int64
}

func (k *keeperOfSpace) measure() space {
	d, err := fileSystem(k.tasks)
	if err != nil {
		return space{}
	}
	used := k.m.storage.shelf.total()
	return space{disk: d, ours: used.bytes + k.m.journal.Bytes(), oursInodes: used.inodes}
}

func (d disk) of(a manifest.Amount) int64 {
	if a.Percent > 0 {
		return int64(float64(d.total) * a.Percent / 100)
	}
	return a.Bytes
}

// inodesOf is the same share of the inodes.
func (d disk) inodesOf(a manifest.Amount) int64 {
	percent := a.Percent
	if percent <= 0 && d.total > 0 {
		percent = min(float64(a.Bytes)/float64(d.total), 1) * 100
	}
	return int64(float64(d.inodes) * percent / 100)
}

// pressed says, from what it costs nothing to know, whether to look closely.
func (k *keeperOfSpace) pressed() bool {
	s := k.measure()
	rules := k.m.rules.Load()
	return rules == nil || k.m.journal.Short() != nil || s.ours > s.of(rules.MaxUse)*9/10 || s.free < s.of(rules.KeepFree) || s.fewInodes(*rules)
}

func (s space) fewInodes(rules manifest.Storage) bool {
	return s.inodes > 0 && s.freeInodes < max(s.inodesOf(rules.KeepFree), s.leastInodes())
}

// excess is of what there is too much.
type excess struct {
	use    bool // deputy's own bytes
	bytes  bool // anybody's
	inodes bool // anybody's
	own    bool // of inodes deputy has more than of bytes it may have
}

func (v view) excess(s space) excess {
	return excess{
		use: s.ours > s.of(v.rules.MaxUse), bytes: s.free < max(s.of(v.rules.KeepFree), v.reserve),
		inodes: s.fewInodes(v.rules), own: s.oursInodes > s.inodesOf(v.rules.MaxUse),
	}
}

func (x excess) any() bool { return x.use || x.bytes || x.inodes }

// spares says whether an output is not to go yet: somebody may be about to read
// what was written just now, and it is neither for deputy that there is no room,
// nor for its caller more than for others.
func (x excess) spares(v victim, dir string) bool {
	return !x.use && !(x.inodes && x.own) && !v.above && time.Since(lastWrite(dir)) <= readingTime
}

// look deletes what is too old, then what is too much: ended tasks' output first,
// then the oldest segments of the journal.
func (k *keeperOfSpace) look() {
	v, ok := k.ask()
	if !ok {
		return
	}
	if s := k.measure(); !v.excess(s).any() && time.Since(k.expired) <= expiryEvery {
		k.tell(s)
		return
	}
	k.expired = time.Now()
	r := &removal{k: k}
	for who, ids := range k.m.storage.shelf.tooOld(k.expired, v.rules.Keep) {
		for _, id := range ids {
			r.remove(who, id)
		}
	}
	k.makeRoom(v, r)
	r.record()
	k.retire(v, k.measure())
	k.tell(k.measure())
}

// makeRoom removes until there is room: each time of the caller who has the most
// the oldest output.
func (k *keeperOfSpace) makeRoom(v view, r *removal) {
	spared := map[deputy.Caller]bool{}
	for {
		x := v.excess(k.measure())
		if !x.any() {
			return
		}
		next, ok := k.m.storage.shelf.next(x.inodes && !x.use && !x.bytes, spared)
		if !ok {
			return
		}
		if x.spares(next, filepath.Join(k.tasks, next.kept.id)) || !r.remove(next.who, next.kept.id) {
			spared[next.who] = true
		}
	}
}

// removal is outputs that are being removed, of which the journal is told.
type removal struct {
	k   *keeperOfSpace
	ids []string
}

func (r *removal) remove(who deputy.Caller, id string) bool {
	removed := make(chan error, 1)
	r.k.m.capper.Beside(func() { removed <- output.Remove(filepath.Join(r.k.tasks, id)) })
	select {
	case err := <-removed:
		if err != nil {
			return false
		}
	default: // it goes when whoever holds it up lets go; others' need not go instead
	}
	r.k.m.storage.shelf.take(who, id)
	if r.ids = append(r.ids, id); len(r.ids) == removeAtOnce {
		r.record()
	}
	return true
}

// record tells the journal, and so the history, whose output is gone.
func (r *removal) record() {
	ids, m := r.ids, r.k.m
	r.ids = nil
	if len(ids) == 0 {
		return
	}
	m.post(func() {
		m.ledger.Record(&deputy.Event{Type: deputy.OutputRemoved, IDs: ids}, ledger.After{})
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
	k.m.post(func() { k.m.ledger.RetireSegments(n) })
}

// leastInodes is with how many left nothing new is accepted.
func (d disk) leastInodes() int64 {
	return max(min(int64(float64(d.inodes)*lastPercent/100), lastInodes), leastInodes)
}

// lacks says what of the file system is at its end; "": nothing is.
func (d disk) lacks() string {
	switch {
	case d.total > 0 && float64(d.free) < min(float64(d.total)*lastPercent/100, lastBytes):
		return fmt.Sprintf("%d MiB", d.free>>20)
	case d.inodes > 0 && d.freeInodes < d.leastInodes():
		return fmt.Sprintf("%d inodes", d.freeInodes)
	}
	return ""
}

// tell lets the loop refuse when there is no room left at all.
func (k *keeperOfSpace) tell(s space) {
	full := ""
	if left := s.lacks(); left != "" {
		full = fmt.Sprintf("the file system of %s has only %s left", k.tasks, left)
	}
	k.full = full != ""
	k.m.post(func() {
		if full != "" && k.m.storage.full == "" {
			k.m.log.Printf("nothing new is accepted: %s", full)
		}
		k.m.storage.full = full
	})
}
