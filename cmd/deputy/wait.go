package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"deputy"
)

func newWait(a *app) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "wait ID…",
		Short: "Wait until tasks have ended; ends as they did",
		Long: `Wait until tasks have ended, print how, and end as they did.

With several, the first that did not succeed decides the exit status.`,
		Example: `  deputy wait 39e8184c && echo well done
  deputy wait --timeout 1m @`,
		Annotations: map[string]string{exitStatus: `0    all succeeded; otherwise the task's own exit code, or
124  its timeout ended it
125  refused, unreachable, --timeout passed while it lives, or it expired or
     was rejected
128+N  signal N ended it
143  it was stopped
255  what became of it is not known`},
		Args: func(cmd *cobra.Command, args []string) error {
			return attached(atLeast(1, "the id of a task")(cmd, args))
		},
		ValidArgsFunction: a.completeIDs(true),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := notNegative(cmd, "timeout", int64(timeout)); err != nil {
				return attached(err)
			}
			return attached(waitVerb(cmd.Context(), a, timeout, args))
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "wait at most this `TIME` (like 1m)")
	return cmd
}

func waitVerb(ctx context.Context, a *app, timeout time.Duration, typed []string) error {
	c := a.connect()
	ids, err := a.resolveAll(ctx, c, typed)
	if err != nil {
		return err
	}
	limited := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	ends, errs := make([]deputy.Task, len(ids)), make([]error, len(ids))
	var all sync.WaitGroup
	for i, id := range ids {
		all.Go(func() {
			var t *deputy.Task
			if t, errs[i] = c.Wait(limited, id); errs[i] == nil {
				ends[i] = *t
			}
		})
	}
	all.Wait()
	for i, err := range errs {
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("…%s still lives after %s", short(ids[i]), timeout)
		}
		if err != nil {
			return err
		}
	}
	return a.printEnds(ends)
}

func (a *app) printEnds(tasks []deputy.Task) error {
	if a.json {
		if err := a.printJSON(map[string]any{"tasks": tasks}); err != nil {
			return err
		}
		return silent(firstStatus(tasks))
	}
	for i := range tasks {
		fmt.Fprintln(a.out, a.idFor(tasks[i].ID), ended(&tasks[i]))
	}
	return silent(firstStatus(tasks))
}
