package space

import (
	"fmt"
	"time"

	"deputy/internal/monitor/journal"
	"deputy/internal/monitor/manifest"
)

// How much room there is, is asked of the file system anew for each decision, in bytes
// and in inodes; what is ours of it is known without a look. The goroutine that removes
// knows of the loop's state only what it was given.

const (
	readingTime = 10 * time.Minute // output younger than this is spared, unless it is deputy, or its caller, that takes too much
	lastPercent = 1.0              // of the file system: with less left, nothing new is accepted, …
	lastBytes   = 256 << 20        // … nor with less than this, where a percent is more
	lastInodes  = 4096             // the same of inodes, …
	leastInodes = 16               // … of which a few are needed however few there are
)

// view is what the loop knows and this goroutine needs.
type view struct {
	rules    manifest.Storage
	live     map[string]bool
	segments []journal.Segment
	reserve  int64 // bytes that the journal's reserve needs and has not; 0: it is whole
}

// ask gets the view from the loop; false when the loop has ended.
func (k *Keeper) ask() (v view, ok bool) {
	ok = k.o.Loop.Do(func() {
		v = view{rules: *k.rules.Load(), live: k.o.Live(), segments: k.journal.Segments(), reserve: k.o.Lacks()}
	})
	return v, ok
}

// disk is how a file system stands: in bytes, and in inodes, of which those that
// make them as they need them have no number, and say 0.
type disk struct {
	total, free        int64
	inodes, freeInodes int64
}

// room is that, and what of it is ours.
type room struct {
	disk
	ours       int64
	oursInodes int64
}

func (k *Keeper) measure() room {
	d, err := fileSystem(k.o.Tasks)
	if err != nil {
		return room{}
	}
	used := k.shelf.total()
	return room{disk: d, ours: used.bytes + k.journal.Bytes(), oursInodes: used.inodes}
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
func (k *Keeper) pressed() bool {
	s := k.measure()
	rules := k.rules.Load()
	return rules == nil || k.journal.Short() != nil || s.ours > s.of(rules.MaxUse)*9/10 || s.free < s.of(rules.KeepFree) || s.fewInodes(*rules)
}

func (s room) fewInodes(rules manifest.Storage) bool {
	return s.inodes > 0 && s.freeInodes < max(s.inodesOf(rules.KeepFree), s.leastInodes())
}

// excess is of what there is too much.
type excess struct {
	use    bool // deputy's own bytes
	bytes  bool // anybody's
	inodes bool // anybody's
	own    bool // of inodes deputy has more than of bytes it may have
}

func (v view) excess(s room) excess {
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
