//go:build unix

package selftest

import (
	"context"
	"fmt"
	"slices"
)

// run starts the instance, asks it for everything, and judges.
func run(ctx context.Context, o Options) (r *Report, err error) {
	o.Say("starting a deputy of its own")
	in, err := begin(ctx, o.Daemon)
	if err != nil {
		return nil, err
	}
	defer func() {
		if end := in.end(); err == nil && end != nil {
			err = end
		}
		if err != nil {
			err = fmt.Errorf("%w%s", err, in.said())
		}
		in.remove()
	}()
	r = &Report{Cycles: o.Cycles, Proof: in.proof}
	for _, step := range []struct {
		what string
		do   func(context.Context, *instance) (Line, error)
	}{
		{"stopping a tree of processes", tree},
		{"filling an output beyond its cap", flood},
		{"asking for one lock many times at once", locks},
	} {
		o.Say(step.what)
		line, err := step.do(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("cannot go on %s: %w", step.what, err)
		}
		r.Lines = append(r.Lines, line)
	}
	l := startLoad(ctx, in)
	kills, err := killAll(ctx, in, o)
	if failed := l.stop(); err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	o.Say("waiting for the last tasks")
	lines, err := judge(ctx, in, l, kills)
	if err != nil {
		return nil, err
	}
	r.Lines = append(r.Lines, lines...)
	o.Say("changing a copy of the journal")
	line, err := edits(in)
	if err != nil {
		return nil, err
	}
	r.Lines = append(r.Lines, line)
	slices.SortFunc(r.Lines, func(a, b Line) int { return a.Promise - b.Promise })
	return r, nil
}
