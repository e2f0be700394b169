package history

import (
	"context"
	"fmt"
	"slices"

	"deputy"
)

// eventRun is how many records are taken from memory at once.
const eventRun = 64

// Events calls fn with each record from number from on, the past ones and then
// those to come, in their order, each once; types, if there are any, are the
// only ones. raw is the line without its newline; from policy and checkpoint
// records the large texts are missing, in the event and in raw. What is retired
// is left out.
//
// It returns the error of fn or of the context, or ErrClosed. However slow fn
// is, Apply does not wait for it.
func (h *History) Events(ctx context.Context, from uint64, types []deputy.EventType, fn func(e deputy.Event, raw []byte) error) error {
	return h.EventsAt(ctx, from, types, atOnce{}, fn)
}

// Pace is asked before records are read, and told before they are waited for. It
// may be told of both by fn, too.
type Pace interface {
	Work() error
	Rest()
}

type atOnce struct{}

func (atOnce) Work() error { return nil }
func (atOnce) Rest()       {}

// EventsAt is Events at somebody's pace.
func (h *History) EventsAt(ctx context.Context, from uint64, types []deputy.EventType, pace Pace, fn func(e deputy.Event, raw []byte) error) error {
	defer pace.Rest()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := pace.Work(); err != nil {
			return err
		}
		texts, next, grown, err := h.lines(ctx, from)
		if err != nil {
			return err
		}
		if grown != nil {
			pace.Rest()
			select {
			case <-grown:
			case <-ctx.Done():
			}
			continue
		}
		for _, text := range texts {
			if len(types) > 0 && !slices.Contains(types, typeOf(text)) {
				continue
			}
			if err := pace.Work(); err != nil {
				return err
			}
			e, err := decodeEvent(text)
			if err != nil {
				return err
			}
			if e.Seq < from {
				continue
			}
			if err := fn(e, text); err != nil {
				return err
			}
		}
		from = next
	}
}

// lines gives some of the records from a number on, and the number after them;
// or a channel that is closed when there may be some.
func (h *History) lines(ctx context.Context, from uint64) (texts [][]byte, next uint64, grown <-chan struct{}, err error) {
	h.mu.Lock()
	from = max(from, h.floor+1)
	s, written := h.store, h.written
	run := h.writing.from(from, eventRun)
	if run == nil {
		run = h.pending.from(from, eventRun)
	}
	switch {
	case h.err != nil:
		err = h.err
	case from > h.applied:
		if h.grown == nil {
			h.grown = make(chan struct{})
		}
		grown = h.grown
	}
	h.mu.Unlock()
	if err != nil || grown != nil {
		return nil, from, grown, err
	}
	if from > written {
		for _, l := range run {
			texts = append(texts, l.text)
		}
		return texts, run[len(run)-1].seq + 1, nil, nil
	}
	texts, last, err := s.lines(ctx, from)
	if err != nil {
		return nil, from, nil, fmt.Errorf("cannot read record %d: %w", from, h.noted(err))
	}
	if texts == nil { // collected meanwhile
		last = written
	}
	return texts, last + 1, nil, nil
}
