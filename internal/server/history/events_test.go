package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deputy"
)

// TestEventsPastAndLive reads from several places at different speeds while
// records come: each reader gets every record once, in order, as it was.
func TestEventsPastAndLive(t *testing.T) {
	h := openTest(t, filepath.Join(t.TempDir(), "history.db"))
	const n = 4000
	j := testJournal(n)
	apply := func(from, to uint64) {
		for seq := from; seq <= to; seq++ {
			if err := h.Apply(seq, slices.Clone(j.text[seq-1])); err != nil {
				t.Error(err)
				return
			}
			if seq%700 == 0 {
				h.flush(context.Background())
			}
		}
	}
	apply(1, n/2)
	var readers sync.WaitGroup
	for i, from := range []uint64{1, 2, n/2 - 50, n / 2, n/2 + 1, n - 10} {
		readers.Go(func() {
			next := from
			err := h.Events(context.Background(), from, nil, func(e deputy.Event, raw []byte) error {
				if e.Seq != next {
					return fmt.Errorf("record %d after %d", e.Seq, next-1)
				}
				if e.Type != deputy.Checkpoint && !bytes.Equal(raw, j.text[e.Seq-1]) {
					return fmt.Errorf("record %d reads %s", e.Seq, raw)
				}
				if i%2 == 0 && next%500 == 0 {
					h.flush(context.Background()) // slow, and moves the boundary of the two
				}
				if next++; next > n {
					return errEnough
				}
				return nil
			})
			if err != errEnough {
				t.Errorf("reader from %d: %v", from, err)
			}
		})
	}
	apply(n/2+1, n)
	readers.Wait()
}

func TestEventsOfTypes(t *testing.T) {
	h, j := openTest(t, filepath.Join(t.TempDir(), "history.db")), newJournal()
	var live []string
	want := map[deputy.EventType]int{}
	j.random(rand.New(rand.NewPCG(1, 1)), 1000, &live, func(seq uint64, line []byte) {
		if err := h.Apply(seq, line); err != nil {
			t.Fatal(err)
		}
	})
	for _, line := range j.text {
		e, _ := decodeEvent(line)
		want[e.Type]++
	}
	last := j.id()
	mustApply(t, h, j, ended(last, deputy.Failed))
	want[deputy.Ended]++
	got := map[deputy.EventType]int{}
	err := h.Events(context.Background(), 1, []deputy.EventType{deputy.Started, deputy.Ended}, func(e deputy.Event, _ []byte) error {
		if got[e.Type]++; e.Task == last {
			return errEnough
		}
		return nil
	})
	if err != errEnough || len(got) != 2 || got[deputy.Started] != want[deputy.Started] || got[deputy.Ended] != want[deputy.Ended] {
		t.Fatalf("%v, got %v, want these of %v", err, got, want)
	}
}

// TestEventsAreSlim sees that large texts are taken out, and numbers kept.
func TestEventsAreSlim(t *testing.T) {
	h, j := openTest(t, filepath.Join(t.TempDir(), "history.db")), newJournal()
	big := strings.Repeat("policy text ", 10_000)
	accepted := j.accepted(j.id())
	accepted.Tasks[0].Params = map[string]any{"n": 9007199254740993}
	mustApply(t, h, j,
		deputy.Event{Type: deputy.Checkpoint, Policy: "d1", Files: []deputy.PolicyFile{{Path: "a", Text: big}}, Checkpoint: []byte(`{"tasks":{}}`)},
		deputy.Event{Type: deputy.PolicyLoaded, Policy: "d2", Files: []deputy.PolicyFile{{Path: "a", Text: big}}}, accepted)
	for _, where := range []string{"memory", "database"} {
		n := 0
		err := h.Events(context.Background(), 1, nil, func(e deputy.Event, raw []byte) error {
			if len(raw) > 2000 || e.Files != nil || e.Checkpoint != nil {
				t.Errorf("%s: record %d is kept with %d bytes", where, e.Seq, len(raw))
			}
			if n++; n < 3 {
				return nil
			}
			if got := fmt.Sprint(e.Tasks[0].Params["n"]); got != "9007199254740993" {
				t.Errorf("%s: a number became %s", where, got)
			}
			return errEnough
		})
		if err != errEnough {
			t.Fatal(err)
		}
		if err := h.flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSlowReader has a reader that never returns from its first record, while
// far more is applied than fits into memory.
func TestSlowReader(t *testing.T) {
	h, j := openTest(t, filepath.Join(t.TempDir(), "history.db")), newJournal()
	ctx, cancel := context.WithCancel(context.Background())
	stuck, done := make(chan struct{}), make(chan error)
	go func() {
		first := true
		done <- h.Events(ctx, 1, nil, func(deputy.Event, []byte) error {
			if first {
				first = false
				close(stuck)
				<-ctx.Done()
			}
			return nil
		})
	}()
	mustApply(t, h, j, j.accepted(j.id()))
	<-stuck
	e := j.accepted(j.id())
	e.Rule = strings.Repeat("x", 100<<10)
	for range 2 * roomBytes >> 10 / 100 {
		mustApply(t, h, j, e)
		j.text = nil
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestEventsEndWithTheHistory(t *testing.T) {
	h := openTest(t, filepath.Join(t.TempDir(), "history.db"))
	done := make(chan error)
	go func() { done <- h.Events(context.Background(), 1, nil, nil) }()
	waitFor(t, "the reader waits", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.grown != nil
	})
	h.Close()
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

// TestBackPressure holds the database locked: Apply stops before memory grows
// without bound, and goes on when the lock is gone.
func TestBackPressure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	h, j := openTest(t, path), newJournal()
	db, err := connect(path, "_txlock=immediate", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	lock, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	const size, n = 100 << 10, 150 // together more than two batches may hold
	applied := make(chan error, 1)
	go func() {
		for range n {
			e := j.accepted(j.id())
			e.Rule = strings.Repeat("x", size)
			line := j.add(e)
			if err := h.Apply(j.seq, line); err != nil {
				applied <- err
				return
			}
		}
		applied <- nil
	}()
	waitFor(t, "memory is full", func() bool { return h.Stats().Pending >= roomBytes })
	select {
	case err := <-applied:
		t.Fatalf("everything was applied (%v) while nothing could be written", err)
	case <-time.After(200 * time.Millisecond): // it must still be so after a while
	}
	if most := 2*roomBytes + 2*2*size; h.Stats().Pending > most {
		t.Fatalf("%d bytes wait, at most %d may", h.Stats().Pending, most)
	}
	if _, _, err := h.Tasks(context.Background(), Query{Limit: 10}, nil, nil); err != nil {
		t.Fatalf("a list meanwhile: %v", err)
	}
	lock.Rollback()
	if err := <-applied; err != nil {
		t.Fatal(err)
	}
	if err := h.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := len(all(t, h, Query{Limit: 100}, nil, nil)); got != n {
		t.Fatalf("%d tasks of %d", got, n)
	}
}

// TestFailedWrite locks the database for longer than a statement waits: the
// batch is written again later, and nothing is lost.
func TestFailedWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	h, j := openTest(t, path), newJournal()
	if _, err := h.store.writer.Exec("PRAGMA busy_timeout = 1"); err != nil {
		t.Fatal(err)
	}
	db, err := connect(path, "_txlock=immediate", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	lock, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	id := j.id()
	mustApply(t, h, j, j.accepted(id))
	waitFor(t, "a write has failed", func() bool { return h.Stats().Fault != nil })
	mustApply(t, h, j, ended(id, deputy.Failed))
	lock.Rollback()
	if err := h.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if s := h.Stats(); s.Fault != nil || s.Written != 2 || s.Live != 0 {
		t.Fatalf("%+v", s)
	}
}

// TestCorruptedWhileOpen overwrites the database beneath a running index: it
// ends, and the next Open starts anew.
func TestCorruptedWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	h, j := openTest(t, path), newJournal()
	fill(t, h, j, 3000)
	h.Close()
	h = openTest(t, path)
	if err := execSQL(path, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, noise(int(info.Size())), 0o600); err != nil { // the same file, other bytes
		t.Fatal(err)
	}
	waitFor(t, "the index has ended", func() bool {
		h.Tasks(context.Background(), Query{Limit: 1000}, nil, nil)
		line := j.add(j.accepted(j.id()))
		err := h.Apply(j.seq, line)
		return err != nil && strings.Contains(err.Error(), "built again")
	})
	if err := h.Wait(context.Background(), "x"); err == nil || errors.Is(err, ErrUnknownTask) {
		t.Fatalf("wait afterwards: %v", err)
	}
	h.Close()
	if h = openTest(t, path); h.Next() != 1 {
		t.Fatalf("next is %d", h.Next())
	}
}

// TestEndWhileWriting has a task end while its first version is being written:
// it leaves memory only after the end is written, too.
func TestEndWhileWriting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	h, j := openTest(t, path), newJournal()
	db, err := connect(path, "_txlock=immediate", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	lock, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	id := j.id()
	mustApply(t, h, j, j.accepted(id))
	waitFor(t, "the writer has taken it", func() bool {
		h.mu.RLock()
		defer h.mu.RUnlock()
		return h.writing != nil
	})
	mustApply(t, h, j, ended(id, deputy.Failed))
	lock.Rollback()
	waitFor(t, "the first version is written", func() bool { return h.Stats().Written >= 1 })
	if err := h.flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	check(t, h, fold(t, j.text))
}
