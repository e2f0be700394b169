// Package space keeps what deputy stores on the disk within [storage]: it knows the
// output that is kept of tasks that have ended, removes of it what is too old or too
// much, then the oldest segments of the journal, and says when nothing new can be
// accepted because there is no room at all.
//
// Only output of tasks that do not live is ever removed, and each removal is told, so
// that the journal has it.
package space

import (
	"context"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"deputy/internal/monitor/journal"
	"deputy/internal/monitor/manifest"
	"deputy/internal/output"
	"deputy/internal/uuid7"
)

const (
	lookEvery   = 10 * time.Second
	expiryEvery = time.Hour
	fullEvery   = time.Second // how often it is seen whether there is room again
)

// Loop owns the monitor's state.
type Loop interface {
	Post(do func())    // has do called by the loop
	Do(do func()) bool // the same, and returns when that is done; false: the loop is over
}

// Journal is what takes room beside outputs.
type Journal interface {
	Bytes() int64                // that it takes
	Short() error                // why its reserve is not whole; nil: it is
	Segments() []journal.Segment // oldest first; the last one is written
}

// Options are what a keeper needs of others. The loop alone calls the functions.
type Options struct {
	Tasks string // the directory of all tasks' directories
	Log   *log.Logger
	Loop  Loop

	Live    func() map[string]bool // the ids of tasks that live, or are about to
	Lacks   func() int64           // bytes that the journal's reserve needs and has not; 0: it is whole
	Removed func(ids []string)     // the output of these tasks is gone
	Retire  func(segments int)     // so many of the journal's oldest segments are to go
}

// Keeper keeps the disk within its rules, in a goroutine of its own.
type Keeper struct {
	o       Options
	journal Journal
	capper  *output.Capper
	rules   atomic.Pointer[manifest.Storage]
	shelf   shelf
	kick    chan struct{} // holds one when the disk is to be looked at
	full    string        // why nothing can be accepted; the loop's

	expired time.Time // the goroutine's: when expiry was last looked at
	wasFull bool      // the goroutine's: the loop was told that nothing can be accepted
}

// New makes a keeper that looks at nothing yet.
func New(o Options) *Keeper { return &Keeper{o: o, kick: make(chan struct{}, 1)} }

// Use gives it what it keeps. It comes before Start and Shelve.
func (k *Keeper) Use(j Journal, c *output.Capper) { k.journal, k.capper = j, c }

// Adopt puts other rules in force. Anybody may call it.
func (k *Keeper) Adopt(rules *manifest.Storage) { k.rules.Store(rules) }

// Start begins to watch the disk, until ctx ends.
func (k *Keeper) Start(ctx context.Context) { go k.run(ctx) }

// Look has the disk looked at now. Anybody may call it.
func (k *Keeper) Look() {
	select {
	case k.kick <- struct{}{}:
	default: // it is about to be
	}
}

// Full says why nothing can be accepted; "": it can. It is for the loop.
func (k *Keeper) Full() string { return k.full }

func (k *Keeper) run(ctx context.Context) {
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
func (k *Keeper) find() {
	entries, _ := os.ReadDir(k.o.Tasks)
	v, ok := k.ask()
	if !ok {
		return
	}
	for _, entry := range entries {
		id, dir := entry.Name(), filepath.Join(k.o.Tasks, entry.Name())
		if _, isTask := uuid7.Time(id); v.live[id] || !isTask {
			k.capper.SweepSpare(dir)
			continue
		}
		if !output.Sweep(dir) {
			continue
		}
		found := keptOutput{id: id, size: sizeOf(dir)}
		if text, err := os.ReadFile(filepath.Join(dir, expiresMarker)); err == nil {
			found.until, _ = time.Parse(time.RFC3339, strings.TrimSpace(string(text)))
		}
		k.shelf.put(readOwner(dir), found)
	}
}

// wait returns true when it is time to look closely, false at the end.
func (k *Keeper) wait(ctx context.Context) bool {
	tick := time.NewTimer(lookEvery)
	defer tick.Stop()
	var again <-chan time.Time
	if k.wasFull {
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
		case <-k.kick:
			if k.pressed() { // the common case costs one statfs(2)
				return true
			}
		}
	}
}
