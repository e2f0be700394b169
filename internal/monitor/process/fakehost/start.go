package fakehost

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"deputy/internal/monitor/process"
)

// startError says why a program could not be started; kind is for errors.Is.
type startError struct {
	program     string
	kind, cause error
}

func (e *startError) Error() string { return fmt.Sprintf("cannot start %s: %v", e.program, e.cause) }
func (e *startError) Unwrap() []error {
	if e.kind == nil {
		return []error{e.cause}
	}
	return []error{e.kind, e.cause}
}

var errEnding = errors.New("deputy is ending")

// Start begins an attempt, as its Cast says. Its events may come before Start returns. An
// error is one of ErrNotFound, ErrNotExecutable, ErrNotStarted, and nothing is left; or it
// is ErrNotExecuted, with an attempt that lives.
func (h *Host) Start(ctx context.Context, s process.Spec) (process.Attempt, error) {
	l, settled, err := h.order(ctx, s)
	if err != nil {
		gone(s)
		return process.Attempt{}, &startError{s.Argv[0], process.ErrNotStarted, err}
	}
	defer h.busy.Done()
	late := time.NewTimer(process.BornWithin)
	defer late.Stop()
	select {
	case <-settled:
	case <-late.C:
	case <-ctx.Done():
	case <-h.crashed:
	}
	a, err := h.born(l, s)
	if err == nil && l.tree.Birth.Returns > 0 {
		back := time.NewTimer(l.tree.Birth.Returns)
		defer back.Stop()
		select {
		case <-back.C:
		case <-h.crashed:
		}
	}
	return a, err
}

func gone(s process.Spec) {
	if s.Gone != nil {
		s.Gone()
	}
}

// order makes the leaf and has the birth begin.
func (h *Host) order(ctx context.Context, s process.Spec) (*leaf, chan struct{}, error) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	if err := h.reserve(s.Leaf); err != nil {
		return nil, nil, err
	}
	err := ctx.Err()
	if err == nil && h.world.leaves[s.Leaf] != nil {
		err = fmt.Errorf("cannot make its leaf: %w", syscall.EEXIST)
	}
	if err != nil {
		delete(h.owned, s.Leaf)
		return nil, nil, err
	}
	h.busy.Add(1)
	l := &leaf{world: h.world, name: s.Leaf, instance: h.options.Instance, tree: h.world.cast(s), linger: s.Linger,
		settled: make(chan struct{}), child: true, attempt: process.Attempt{Leaf: s.Leaf, BootNS: h.world.bootNS()}}
	h.world.leaves[s.Leaf] = l
	settled := l.settled
	l.birth()
	return l, settled, nil
}

// reserve makes a leaf ours. The caller holds mu.
func (h *Host) reserve(leaf string) error {
	switch {
	case leaf == "" || leaf[0] == '.' || strings.ContainsAny(leaf, "/\n "):
		return errors.New("cannot use " + leaf + " as a leaf: not a plain file name")
	case h.closed:
		return errEnding
	case h.owned[leaf]:
		return errors.New("the leaf " + leaf + " is in use")
	}
	h.owned[leaf] = true
	return nil
}

// born tells what has become of a birth that is waited for no longer.
func (h *Host) born(l *leaf, s process.Spec) (process.Attempt, error) {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	hangs := l.settled != nil
	if h.dead { // it goes on, and nobody hears how
		return process.Attempt{}, &startError{s.Argv[0], process.ErrNotStarted, errEnding}
	}
	fail := func(kind, cause error) (process.Attempt, error) {
		h.world.forget(l)
		delete(h.owned, s.Leaf)
		gone(s)
		return process.Attempt{}, &startError{s.Argv[0], kind, cause}
	}
	switch {
	case l.failed != nil:
		for _, kind := range []error{process.ErrNotFound, process.ErrNotExecutable} {
			if errors.Is(l.failed, kind) {
				return fail(kind, l.failed)
			}
		}
		return fail(process.ErrNotStarted, l.failed)
	case l.first == nil: // and shall not be any more
		return fail(process.ErrNotStarted, fmt.Errorf("the forker ended before it made the process: %w", syscall.EAGAIN))
	case hangs:
		l.settled, l.gone = nil, s.Gone
	default:
		gone(s)
	}
	a := &attempt{Attempt: l.attempt, leaf: l, known: true}
	h.attempts[s.Leaf] = a
	h.look(a)
	if hangs {
		return l.attempt, &startError{s.Argv[0], nil, process.ErrNotExecuted}
	}
	return l.attempt, nil
}
