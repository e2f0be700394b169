package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"deputy"
	"deputy/client"
)

func newStop(a *app) *cobra.Command {
	var o client.StopOptions
	var grace time.Duration
	s := &selection{}
	cmd := &cobra.Command{
		Use:   "stop ID… | --all",
		Short: "End tasks and all that they started; prints a receipt",
		Long: `End tasks and all that they started; prints a receipt.

The task is sent its stop signal, has its grace period to end, and then whatever
lives of its whole process tree is killed. The receipt says what was done, and
what "nothing lives" rests on. Stopping what has ended changes nothing.

--all stops what lives now and you see: your own; everybody's, if you are operator
and auditor, as root is. What is asked for meanwhile is not touched; for that there is
deputy drain.`,
		Example: `  deputy stop 39e8184c
  deputy stop --grace 1s @
  deputy stop --all --module SCAN_MODULE
  deputy drain --timeout 5m || deputy stop --all --force`,
		Annotations: map[string]string{exitStatus: `0    nothing of any of them lives
1    refused, or something still lives; stderr says what
2    the command line is wrong`},
		Args:              func(_ *cobra.Command, args []string) error { return s.check(args) },
		ValidArgsFunction: a.completeIDs(true),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("grace") {
				o.Grace = &grace
			}
			if s.all {
				return stopAllVerb(cmd.Context(), a, s, o)
			}
			return stopVerb(cmd.Context(), a, o, args)
		},
	}
	cmd.Flags().DurationVar(&grace, "grace", 0, "a grace period of this `TIME` (like 5s), if shorter than the declared one")
	cmd.Flags().BoolVar(&o.Force, "force", false, "operators: also what is declared not stoppable")
	s.flags(a, cmd)
	return cmd
}

func stopVerb(ctx context.Context, a *app, o client.StopOptions, typed []string) error {
	c := a.connect()
	ids, err := a.resolveAll(ctx, c, typed)
	if err != nil {
		return err
	}
	tasks, errs := make([]*deputy.Task, len(ids)), make([]error, len(ids))
	var all sync.WaitGroup
	for i, id := range ids {
		all.Go(func() { tasks[i], errs[i] = c.Stop(ctx, id, o) })
	}
	all.Wait()
	var done []deputy.Task
	for i, t := range tasks {
		if errs[i] == nil {
			done = append(done, *t)
			continue
		}
		errs[i] = fmt.Errorf("cannot stop …%s: %w", short(ids[i]), errs[i])
	}
	err = a.printStopped(done)
	if failed := a.each(errs); failed != nil {
		return failed
	}
	return err
}

// each says all errors but the last on stderr and gives that one: each stands
// for one task, and each has its own remedy.
func (a *app) each(errs []error) error {
	var last error
	for _, err := range errs {
		if err == nil {
			continue
		}
		if last != nil {
			a.report(last)
		}
		last = err
	}
	return last
}

// printStopped prints the receipts. It fails if anything still lives.
func (a *app) printStopped(tasks []deputy.Task) error {
	status := 0
	for _, t := range tasks {
		if t.Stop != nil && !t.Stop.Empty {
			status = statusFailed
		}
		if !a.json {
			fmt.Fprintln(a.out, stopWords(a.idFor(t.ID), &t))
		}
	}
	if a.json {
		if err := a.printJSON(map[string]any{"tasks": tasks}); err != nil {
			return err
		}
	}
	return silent(status)
}

// stopWords says what became of a task that was to be stopped.
func stopWords(id string, t *deputy.Task) string {
	switch {
	case t.Stop == nil && t.Ended != nil:
		return fmt.Sprintf("%s had already ended: %s", id, ended(t))
	case t.Stop == nil:
		return fmt.Sprintf("stopping %s; for its receipt: deputy stop %s", id, short(t.ID))
	case !t.Stop.Empty:
		return fmt.Sprintf("cannot end %s: %s", id, receiptWords(t.Stop))
	case t.Ended != nil && t.State != deputy.Stopped:
		return fmt.Sprintf("%s ended by itself meanwhile: %s; %s", id, ended(t), receiptWords(t.Stop))
	}
	return fmt.Sprintf("stopped %s: %s", id, receiptWords(t.Stop))
}
