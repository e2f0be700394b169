package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"deputy"
)

func newShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show [ID]",
		Short: "Show all that is known of one task",
		Long: `Show all that is known of one task: your newest if you name none.

--json prints the task as the HTTP API gives it.`,
		Example: `  deputy show 39e8184c
  deputy show @ --json`,
		Annotations:       map[string]string{exitStatus: plainStatus},
		Args:              atMost(1, "one id"),
		ValidArgsFunction: a.completeIDs(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			return showVerb(cmd.Context(), a, firstOr(args, "@"))
		},
	}
}

func firstOr(args []string, otherwise string) string {
	if len(args) > 0 {
		return args[0]
	}
	return otherwise
}

func showVerb(ctx context.Context, a *app, typed string) error {
	c := a.connect()
	id, err := a.resolve(ctx, c, typed)
	if err != nil {
		return err
	}
	t, err := c.Task(ctx, id, 0)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(t)
	}
	for _, line := range taskLines(t, a.now()) {
		name := a.style(a.outTerm, bold, fmt.Sprintf("%-10s", line[0]))
		fmt.Fprintf(a.out, "%s %s\n", name, printable(line[1]))
	}
	return nil
}

// taskLines gives what a task has a value for, in the order of its life.
func taskLines(t *deputy.Task, now time.Time) [][2]string {
	var lines [][2]string
	add := func(name, value string) {
		if value != "" {
			lines = append(lines, [2]string{name, value})
		}
	}
	add("id", t.ID)
	add("action", t.Module+"/"+t.Action)
	add("params", paramWords(t.Params))
	add("lock", deref(t.Lock))
	add("caller", callerWords(t.Caller))
	add("joined", joinedWords(t.Joined))
	add("end user", deref(t.EndUser))
	add("why", deref(t.Why))
	add("again of", deref(t.AgainOf))
	add("state", string(t.State))
	add("waiting", waitWords(t, now))
	add("reason", deref(t.Reason))
	add("progress", progressWords(t.Progress))
	add("created", t.Created.String())
	if t.Started != nil {
		add("started", t.Started.String())
	}
	if t.Ended != nil {
		add("ended", t.Ended.String())
		if t.Started != nil {
			add("took", took(t.Ended.Sub(t.Started.Time)))
		}
	}
	if t.Attempt > 1 {
		add("attempt", strconv.Itoa(t.Attempt))
	}
	lines = append(lines, attemptLines(t)...)
	add("exit", exitWords(t.Exit))
	if t.Result != nil {
		add("result", valueWords(map[string]any(t.Result)))
	}
	add("usage", usageWords(t.Usage))
	add("approval", approvalWords(t.Approval))
	add("confirm", confirmWords(t.Confirm))
	add("trace", deref(t.Traceparent))
	if t.Stop != nil {
		add("stop", receiptWords(t.Stop))
	}
	if t.Leftover != nil && *t.Leftover > 0 {
		add("leftover", leftoverWords(*t.Leftover))
	}
	if t.Caller == "" { // who may not see who asked may not see the output either
		add("note", "another asked for it first: values, output and who asked are not shown to you")
		return lines
	}
	add("stdout", outputWords(t.StdoutBytes, t.StdoutGap, t.StdoutRewritten))
	add("stderr", outputWords(t.StderrBytes, t.StderrGap, t.StderrRewritten))
	return lines
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func joinedWords(callers []deputy.Caller) string {
	words := make([]string, len(callers))
	for i, c := range callers {
		words[i] = callerWords(c)
	}
	return strings.Join(words, ", ")
}

func exitWords(e *deputy.Exit) string {
	switch {
	case e == nil:
		return ""
	case e.Signal != "":
		return e.Signal
	case e.Code != nil:
		return "code " + strconv.Itoa(*e.Code)
	}
	return "unknown: " + e.Unknown
}

func outputWords(n int64, gap *[2]int64, rewritten bool) string {
	text := strconv.FormatInt(n, 10) + " bytes"
	if gap != nil {
		text += fmt.Sprintf(", of which %d to %d are gone", gap[0], gap[1]-1)
	}
	if rewritten {
		text += "; the task itself cut or rewrote it, as > /dev/stdout or > /dev/stderr does"
	}
	return text
}
