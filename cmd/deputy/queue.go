package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"deputy"
)

func newQueue(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "queue [NAME]",
		Short: "Show the queues, how many run and wait in each; operators: pause them",
		Long: `Show the queues, how many run and wait in each; operators: pause them.

A queue lets so many tasks of its actions run at a time; who comes then waits, and
gets a place by priority, in turn between callers, and in the order of coming. You see
the queues of the actions that you may use; auditors and operators see all.

What waits in a queue is shown by deputy ps, and ended by deputy stop --all --queue.`,
		Example: `  deputy queue
  deputy queue pause apt
  deputy queue resume apt
  deputy stop --all --queue apt`,
		Annotations:       map[string]string{exitStatus: plainStatus},
		Args:              atMost(1, "at most one queue"),
		ValidArgsFunction: a.completeQueues,
		RunE:              func(cmd *cobra.Command, args []string) error { return queueVerb(cmd.Context(), a, args) },
	}
	for _, v := range []struct {
		name, short, long string
		paused            bool
	}{
		{"pause", "Operators: have nobody who waits in a queue begin", "What runs in the queue runs on, and who comes waits. It lasts until\ndeputy queue resume, over every restart.", true},
		{"resume", "Operators: have those who wait in a queue begin again", "Asking again changes nothing.", false},
	} {
		cmd.AddCommand(&cobra.Command{
			Use:               v.name + " NAME",
			Short:             v.short,
			Long:              v.short + ".\n\n" + v.long,
			Example:           "  deputy queue " + v.name + " apt",
			Annotations:       map[string]string{exitStatus: plainStatus},
			Args:              exactly(1, "the name of a queue"),
			ValidArgsFunction: a.completeQueues,
			RunE: func(cmd *cobra.Command, args []string) error {
				return pauseVerb(cmd.Context(), a, args[0], v.paused)
			},
		})
	}
	return cmd
}

// queues gives those that may be seen, or the one of a name.
func (a *app) queues(ctx context.Context, name string) ([]deputy.Queue, error) {
	all, err := a.connect().Queues(ctx)
	if err != nil || name == "" {
		return all, err
	}
	all = slices.DeleteFunc(all, func(q deputy.Queue) bool { return q.Name != name })
	if len(all) == 0 {
		return nil, fmt.Errorf("cannot show the queue %q: there is none of this name, or you may use no action in it; see: deputy queue", name)
	}
	return all, nil
}

func queueVerb(ctx context.Context, a *app, args []string) error {
	all, err := a.queues(ctx, strings.Join(args, ""))
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]any{"queues": append([]deputy.Queue{}, all...)})
	}
	if len(all) == 0 {
		fmt.Fprintln(a.out, "no queue is declared whose actions you may use")
		return nil
	}
	var rows [][]cell
	for i := range all {
		rows = append(rows, queueRow(&all[i]))
	}
	a.table([]string{"QUEUE", "STATE", "RUNNING", "WAITING", "ACTIONS"}, rows)
	return nil
}

func queueRow(q *deputy.Queue) []cell {
	state := cell{"open", ""}
	if q.Paused {
		state = cell{"paused", bold}
	}
	return []cell{{q.Name, bold}, state, {fmt.Sprintf("%d of %d", q.Running, q.Parallel), ""},
		{fmt.Sprintf("%d of %d", q.Waiting, q.MaxWaiting), ""}, {strings.Join(q.Actions, " "), faint}}
}

func pauseVerb(ctx context.Context, a *app, name string, paused bool) error {
	q, err := a.connect().PauseQueue(ctx, name, paused)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(q)
	}
	if paused {
		fmt.Fprintf(a.out, "the queue %s is paused; %d run on, %d wait; resume it with: deputy queue resume %s\n", q.Name, q.Running, q.Waiting, q.Name)
	} else {
		fmt.Fprintf(a.out, "the queue %s is open; %d run, %d wait\n", q.Name, q.Running, q.Waiting)
	}
	return nil
}

// completeQueues gives the queues that I may see.
func (a *app) completeQueues(cmd *cobra.Command, args []string, _ string) (choices, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel, c := a.forShell(cmd)
	defer cancel()
	all, err := c.Queues(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var list choices
	for i := range all {
		list = append(list, described(all[i].Name, fmt.Sprintf("%d run, %d wait", all[i].Running, all[i].Waiting)))
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}
