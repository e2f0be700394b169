package main

import (
	"context"
	"fmt"
	"slices"
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

A terminal gets a table, of at most 100 tasks unless -n says otherwise; a pipe gets
one line for each task, its fields set apart by tabs: id, module/action, state,
progress, created, caller, params, what it waits for.`,
		Example: `  deputy ps
  deputy ps -a --module portscan --limit 5
  deputy ps -a --state failed --since 24h --json
  deputy stop $(deputy ps -q)`,
		Annotations: map[string]string{exitStatus: plainStatus},
		Args:        exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := positive(cmd, "limit", l.limit); err != nil {
				return err
			}
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
	f.IntVarP(&l.limit, "limit", "n", 0, "at most this `NUMBER` of tasks")
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
	limit, more := l.limit, false
	table := a.outTerm && !a.json && !l.quiet
	if limit == 0 && table {
		limit = tableRows
	}
	tasks := []deputy.Task{}
	err = a.connect().Each(ctx, q, func(t *deputy.Task) bool {
		if more = limit > 0 && len(tasks) == limit; !more {
			tasks = append(tasks, *t)
		}
		return !more
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
	if more && l.limit == 0 && table {
		fmt.Fprintf(a.err, "deputy: these are the newest %d, and there are more: ask for them with -n\n", limit)
	}
	return nil
}

// tableRows is how many tasks a terminal is shown if it is not asked for more.
const tableRows = 100

// query makes the daemon's question of the flags.
func (a *app) query(l *list) (client.Query, error) {
	q := client.Query{Module: l.module, Action: l.action, Limit: pageSize}
	if l.limit > 0 {
		q.Limit = min(l.limit+1, pageSize)
	}
	known := strings.Join(stateNames(), ", ")
	for _, s := range l.states {
		if !strings.Contains(", "+known+",", ", "+s+",") {
			return q, usage("there is no state %q; the states are %s", s, known)
		}
		q.States = append(q.States, deputy.State(s))
	}
	if !l.all && q.States == nil {
		q.States = deputy.LiveStates()
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
	telling := tellingParams(tasks)
	at := 7 // where what it waits for stands: in a pipe behind all else, so that the others keep their places
	if a.outTerm {
		at = 3
	}
	for _, t := range tasks {
		params := paramWords(t.Params)
		if a.outTerm { // it may be cut: what tells the tasks apart comes first
			params = paramsOf(t.Params, telling[t.Module+"/"+t.Action])
		}
		row := []cell{
			{a.idFor(t.ID), ""},
			{t.Module + "/" + t.Action, ""},
			{string(t.State), stateColour(t.State)},
			{progressWords(t.Progress), ""},
			{a.when(t.Created), ""},
			{callerWords(t.Caller), ""},
			{params, faint},
		}
		rows = append(rows, slices.Insert(row, at, cell{waitWords(&t, a.now()), ""}))
	}
	a.table(slices.Insert([]string{"ID", "ACTION", "STATE", "PROGRESS", "CREATED", "CALLER", "PARAMS"}, at, "WAIT"), rows)
}

// tellingParams finds, for each action, the params that are not the same in all of
// its tasks.
func tellingParams(tasks []deputy.Task) map[string]map[string]bool {
	first, telling := map[string]map[string]any{}, map[string]map[string]bool{}
	for _, t := range tasks {
		name := t.Module + "/" + t.Action
		if first[name] == nil {
			first[name], telling[name] = t.Params, map[string]bool{}
			continue
		}
		for _, params := range []map[string]any{t.Params, first[name]} {
			for p := range params {
				if valueWords(t.Params[p]) != valueWords(first[name][p]) {
					telling[name][p] = true
				}
			}
		}
	}
	return telling
}

// paramsOf writes params as paramWords does, but those that tell first.
func paramsOf(params map[string]any, telling map[string]bool) string {
	first, rest := map[string]any{}, map[string]any{}
	for name, v := range params {
		if telling[name] {
			first[name] = v
		} else {
			rest[name] = v
		}
	}
	return strings.TrimSpace(paramWords(first) + " " + paramWords(rest))
}
