package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"deputy"
	"deputy/client"
)

func newCall(a *app) *cobra.Command {
	k := &ask{}
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "call MODULE ACTION [name=value …]",
		Short: "Ask for an action and go; prints the ids of its tasks",
		Long: `Ask for an action and go; prints the ids of its tasks, one a line.

It returns as soon as the request is durable. With --wait it stays until all
tasks have ended, at most that long, and then ends as "deputy wait" does. Values
are written as for "deputy run".`,
		Example: `  deputy call SCAN_MODULE start task_ids=1 task_ids=2
  deputy call service restart unit=nginx.service --wait 30s
  deputy call service restart unit=nginx.service --idempotency-key nightly-7 --json`,
		Annotations: map[string]string{exitStatus: `0    accepted (with --wait: all ended well)
1    refused or unreachable; stderr says why
2    the command line is wrong
With --wait otherwise as deputy wait; 125 if one still lives after that time.`},
		Args:              atLeast(2, "a module and an action"),
		ValidArgsFunction: a.completeCall,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := notNegative(cmd, "wait", int64(wait)); err != nil {
				return err
			}
			return callVerb(cmd.Context(), a, k, args, wait)
		},
	}
	k.flags(cmd)
	cmd.Flags().DurationVar(&wait, "wait", 0, "stay until all have ended, at most this `TIME` (like 30s)")
	return cmd
}

func callVerb(ctx context.Context, a *app, k *ask, args []string, wait time.Duration) error {
	tasks, err := k.send(ctx, a, a.connect(), args, wait)
	if err != nil {
		return err
	}
	switch {
	case stopped(tasks, args[1]):
		return a.showStopped(tasks)
	case a.json:
		err = a.printJSON(map[string]any{"tasks": plain(tasks)})
	default:
		a.printIDs(distinct(tasks), wait > 0)
	}
	if err != nil || wait == 0 {
		return err
	}
	return silent(firstStatus(plain(tasks)))
}

// plain gives the tasks without what only a Call adds.
func plain(tasks []client.Task) []deputy.Task {
	list := make([]deputy.Task, len(tasks))
	for i, t := range tasks {
		list[i] = t.Task
	}
	return list
}

func (a *app) printIDs(tasks []client.Task, states bool) {
	for _, t := range tasks {
		line := a.idFor(t.ID)
		if states {
			line += " " + ended(&t.Task)
		}
		fmt.Fprintln(a.out, line)
	}
}

// showStopped says what an action that stops another did.
func (a *app) showStopped(tasks []client.Task) error {
	if len(tasks) == 0 && !a.json {
		fmt.Fprintln(a.out, "nothing to stop: no such task lives")
	}
	return a.printStopped(plain(tasks))
}

// firstStatus is the exit status for several tasks: that of the first which
// did not succeed, 125 if it still lives.
func firstStatus(tasks []deputy.Task) int {
	for i := range tasks {
		if tasks[i].Ended == nil {
			return statusRefused
		}
		if s := taskStatus(&tasks[i]); s != 0 {
			return s
		}
	}
	return 0
}
