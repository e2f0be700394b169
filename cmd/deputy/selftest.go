package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"deputy/internal/selftest"
)

func newSelftest(a *app) *cobra.Command {
	var cycles int
	cmd := &cobra.Command{
		Use:   "selftest",
		Short: "Measure deputy's promises on this machine, on an instance of its own",
		Long: `Measure deputy's promises on this machine, on an instance of its own: it kills server,
monitor and keeper under load, stops a tree of 300 processes, fills an output beyond
its cap, asks for one lock many times at once, and changes copies of the journal.

It runs as you, in a directory of its own under TMPDIR, and leaves nothing. Other
deputies are not touched. One line for each promise, as SECURITY.md numbers them.`,
		Example: `  deputy selftest
  deputy selftest --cycles 50
  deputy selftest --json | jq .ok`,
		Annotations: map[string]string{exitStatus: `0    every promise was kept
1    one was broken, or the test could not run; stderr says why
2    the command line is wrong`},
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cycles < 1 {
				return usage("--cycles must be at least 1")
			}
			return selftestVerb(cmd.Context(), a, cycles)
		},
	}
	cmd.Flags().IntVar(&cycles, "cycles", 3, "kill each part this `NUMBER` of times")
	return cmd
}

func selftestVerb(ctx context.Context, a *app, cycles int) error {
	daemon, err := findDaemon()
	if err != nil {
		return err
	}
	s := &screen{a: a}
	say := s.setBar
	if a.json {
		say = nil
	}
	r, err := selftest.Run(ctx, selftest.Options{Daemon: daemon, Cycles: cycles, Say: say})
	s.setBar("")
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case a.json:
		err = a.printJSON(r)
	default:
		a.printSelftest(r)
	}
	if err == nil && !r.OK() {
		err = silent(statusFailed)
	}
	return err
}

func (a *app) printSelftest(r *selftest.Report) {
	for _, l := range r.Lines {
		word := a.style(a.outTerm, green, "kept  ")
		if !l.Kept {
			word = a.style(a.outTerm, red, "BROKEN")
		}
		fmt.Fprintf(a.out, "%d %s %s\n         %s\n", l.Promise, word, l.Text, printable(l.Measured))
	}
	verdict := "every promise was kept"
	if !r.OK() {
		verdict = "not every promise was kept"
	}
	fmt.Fprintf(a.out, "%s, in %s\n", verdict, took(r.Took))
}
