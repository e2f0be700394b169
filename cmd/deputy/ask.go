package main

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"deputy/client"
)

// ask is what run and call have in common: an action, its params, and for whom.
type ask struct {
	params, key, endUser string
}

func (k *ask) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&k.params, "params", "", "all params as one `JSON` object; - reads stdin, @FILE a file")
	cmd.Flags().StringVar(&k.key, "idempotency-key", "", "asking again with this `KEY` gives the same tasks, for 24 hours")
	cmd.Flags().StringVar(&k.endUser, "end-user", "", "the `NAME` for whom this is asked, if you may say so")
}

// send asks. Without a key of the user's own it makes one, so that an answer
// that a restart of the server took away can be asked for again.
func (k *ask) send(ctx context.Context, a *app, c *client.Client, args []string, wait time.Duration) ([]client.Task, error) {
	module, action := args[0], args[1]
	params, err := a.params(ctx, c, module, action, k.params, args[2:])
	if err != nil {
		return nil, err
	}
	o := client.Options{IdempotencyKey: k.key, EndUser: k.endUser, Wait: wait}
	if o.IdempotencyKey == "" {
		o.IdempotencyKey = rand.Text()
	}
	return c.Call(ctx, module, action, params, o)
}

// takesAction has a verb take MODULE/ACTION as one word, too, as ps, events and new
// write it.
func takesAction(cmd *cobra.Command) *cobra.Command {
	check, run, complete := cmd.Args, cmd.RunE, cmd.ValidArgsFunction
	cmd.Args = func(cmd *cobra.Command, args []string) error { return check(cmd, apart(args)) }
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return run(cmd, apart(args)) }
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		return complete(cmd, apart(args), word)
	}
	return cmd
}

// apart makes two words of MODULE/ACTION: no name of either has a slash.
func apart(args []string) []string {
	if len(args) == 0 {
		return args
	}
	module, action, joined := strings.Cut(args[0], "/")
	if !joined || strings.Contains(args[0], "=") {
		return args
	}
	return append([]string{module, action}, args[1:]...)
}

// stopped says whether these tasks are what an action stopped, not what it
// started: an action that `stops` another answers with that one's tasks.
func stopped(tasks []client.Task, action string) bool {
	return len(tasks) == 0 || tasks[0].Action != action
}

// distinct leaves out a task that an earlier item has, too: equal items share one.
func distinct(tasks []client.Task) []client.Task {
	var kept []client.Task
	seen := map[string]bool{}
	for _, t := range tasks {
		if !seen[t.ID] {
			seen[t.ID] = true
			kept = append(kept, t)
		}
	}
	return kept
}
