package space

import (
	"fmt"
	"path/filepath"
	"time"

	"deputy"
	"deputy/internal/output"
)

// Nothing is removed that a live task writes, and nothing is gone of which the journal
// is not told. Outputs go before segments of the journal, and those of who has the most
// before others'.

const removeAtOnce = 500 // tasks in one record

// look deletes what is too old, then what is too much: ended tasks' output first,
// then the oldest segments of the journal.
func (k *Keeper) look() {
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
	for who, ids := range k.shelf.tooOld(k.expired, v.rules.Keep) {
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
func (k *Keeper) makeRoom(v view, r *removal) {
	spared := map[deputy.Caller]bool{}
	for {
		x := v.excess(k.measure())
		if !x.any() {
			return
		}
		next, ok := k.shelf.next(x.inodes && !x.use && !x.bytes, spared)
		if !ok {
			return
		}
		if x.spares(next, filepath.Join(k.o.Tasks, next.kept.id)) || !r.remove(next.who, next.kept.id) {
			spared[next.who] = true
		}
	}
}

// removal is outputs that are being removed, of which the journal is told.
type removal struct {
	k   *Keeper
	ids []string
}

func (r *removal) remove(who deputy.Caller, id string) bool {
	removed := make(chan error, 1)
	r.k.capper.Beside(func() { removed <- output.Remove(filepath.Join(r.k.o.Tasks, id)) })
	select {
	case err := <-removed:
		if err != nil {
			return false
		}
	default: // it goes when whoever holds it up lets go; others' need not go instead
	}
	r.k.shelf.take(who, id)
	if r.ids = append(r.ids, id); len(r.ids) == removeAtOnce {
		r.record()
	}
	return true
}

// record tells the journal, and so the history, whose output is gone.
func (r *removal) record() {
	ids, k := r.ids, r.k
	r.ids = nil
	if len(ids) == 0 {
		return
	}
	k.o.Loop.Post(func() { k.o.Removed(ids) })
}

// retire deletes the journal's oldest segments, when they are too old or when
// nothing else is left to delete.
func (k *Keeper) retire(v view, s room) {
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
	k.o.Loop.Post(func() { k.o.Retire(n) })
}

// tell lets the loop refuse when there is no room left at all.
func (k *Keeper) tell(s room) {
	full := ""
	if left := s.lacks(); left != "" {
		full = fmt.Sprintf("the file system of %s has only %s left", k.o.Tasks, left)
	}
	k.wasFull = full != ""
	k.o.Loop.Post(func() {
		if full != "" && k.full == "" {
			k.o.Log.Printf("nothing new is accepted: %s", full)
		}
		k.full = full
	})
}
