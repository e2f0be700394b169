package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"deputy"
	"deputy/client"
)

// list is what ps picks.
type list struct {
	all, quiet    bool
	module        string
	action        string
	states        []string
	limit         int
	caller, since string
}

func newPs(a *app) *cobra.Command {
	l := &list{}
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List tasks: those that live, or all",
		Long: `List tasks, newest first: those that live, or with -a all.

A terminal gets a table; a pipe gets one line for each task, its fields set apart
by tabs: id, module/action, state, progress, created, caller, params.`,
		Example: `  deputy ps
  deputy ps -a --module portscan --limit 5
  deputy ps -a --state failed --since 24h --json
  deputy stop $(deputy ps -q)`,
		Annotations: map[string]string{exitStatus: plainStatus},
		Args:        exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return psVerb(cmd.Context(), a, l)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&l.all, "all", "a", false, "also those that have ended")
	f.BoolVarP(&l.quiet, "quiet", "q", false, "ids alone")
	f.StringVar(&l.module, "module", "", "of this `MODULE`")
	f.StringVar(&l.action, "action", "", "of this `ACTION`")
	f.StringSliceVar(&l.states, "state", nil, "in this `STATE` (may be repeated)")
	f.StringVar(&l.caller, "caller", "", "asked for by this `CALLER`: a user, uid:N or key:NAME")
	f.StringVar(&l.since, "since", "", "created since this `TIME`: like 2h, or 2006-01-02T15:04:05Z")
	f.IntVarP(&l.limit, "limit", "n", 100, "at most this `NUMBER` of tasks")
	_ = cmd.RegisterFlagCompletionFunc("state", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return stateNames(), cobra.ShellCompDirectiveNoFileComp
	})
	_ = cmd.RegisterFlagCompletionFunc("module", a.completeModules)
	return cmd
}

func stateNames() []string {
	var names []string
	for _, s := range deputy.States() {
		names = append(names, string(s))
	}
	return names
}

func psVerb(ctx context.Context, a *app, l *list) error {
	q, err := a.query(l)
	if err != nil {
		return err
	}
	tasks := []deputy.Task{}
	err = a.connect().Each(ctx, q, func(t *deputy.Task) bool {
		tasks = append(tasks, *t)
		return len(tasks) < l.limit
	})
	if err != nil {
		return err
	}
	switch {
	case a.json:
		return a.printJSON(map[string]any{"tasks": tasks})
	case l.quiet:
		for _, t := range tasks {
			fmt.Fprintln(a.out, a.idFor(t.ID))
		}
		return nil
	}
	a.psTable(tasks)
	return nil
}

// query makes the daemon's question of the flags.
func (a *app) query(l *list) (client.Query, error) {
	if l.limit < 1 {
		return client.Query{}, usage("--limit must be at least 1")
	}
	q := client.Query{Module: l.module, Action: l.action, Limit: min(l.limit, pageSize)}
	known := strings.Join(stateNames(), ", ")
	for _, s := range l.states {
		if !strings.Contains(", "+known+",", ", "+s+",") {
			return q, usage("there is no state %q; the states are %s", s, known)
		}
		q.States = append(q.States, deputy.State(s))
	}
	if !l.all && q.States == nil {
		q.States = liveStates()
	}
	var err error
	if q.Caller, err = caller(l.caller); err != nil {
		return q, err
	}
	q.Since, err = a.instant(l.since)
	return q, err
}

// instant reads a time, or a duration before now; "" is the zero time.
func (a *app) instant(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return a.now().Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, usage("%q is not a time; write how long ago, like 2h, or 2006-01-02T15:04:05Z", text)
	}
	return t, nil
}

func (a *app) psTable(tasks []deputy.Task) {
	var rows [][]cell
	for _, t := range tasks {
		rows = append(rows, []cell{
			{a.idFor(t.ID), ""},
			{t.Module + "/" + t.Action, ""},
			{string(t.State), stateColour(t.State)},
			{progressWords(t.Progress), ""},
			{a.when(t.Created), ""},
			{callerWords(t.Caller), ""},
			{paramWords(t.Params), faint},
		})
	}
	a.table([]string{"ID", "ACTION", "STATE", "PROGRESS", "CREATED", "CALLER", "PARAMS"}, rows)
}
