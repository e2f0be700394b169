package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"deputy"
	"deputy/client"
)

// completeTime is how long a shell waits for words from the daemon.
const completeTime = time.Second

// choices is what a completion gives: words, each with a tab and a description.
type choices = []string

func (a *app) forShell(cmd *cobra.Command) (context.Context, context.CancelFunc, *client.Client) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
	return ctx, cancel, a.connect()
}

// completeModules gives the modules that I may use.
func (a *app) completeModules(cmd *cobra.Command, _ []string, _ string) (choices, cobra.ShellCompDirective) {
	ctx, cancel, c := a.forShell(cmd)
	defer cancel()
	all, err := c.Actions(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var list choices
	for _, i := range all {
		if !slices.Contains(list, i.Module) {
			list = append(list, i.Module)
		}
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// completeCall gives the words of MODULE ACTION name=value ….
func (a *app) completeCall(cmd *cobra.Command, args []string, word string) (choices, cobra.ShellCompDirective) {
	if len(args) == 0 && !strings.Contains(word, "/") {
		return a.completeModules(cmd, args, word)
	}
	ctx, cancel, c := a.forShell(cmd)
	defer cancel()
	if len(args) < 2 {
		all, err := c.Actions(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var list choices
		for _, i := range all {
			if len(args) == 0 {
				list = append(list, described(i.Module+"/"+i.Action, i.Description))
			} else if i.Module == args[0] {
				list = append(list, described(i.Action, i.Description))
			}
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
	declared, err := c.Action(ctx, args[0], args[1])
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	s, err := readSchema(declared)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return completeParam(s, args[2:], word)
}

// completeParam gives names of params that are still wanted, and after "name="
// the values that it may have.
func completeParam(s *schema, given []string, word string) (choices, cobra.ShellCompDirective) {
	var list choices
	if name, text, ok := strings.Cut(word, "="); ok {
		if strings.HasPrefix(text, "@") {
			return nil, cobra.ShellCompDirectiveDefault
		}
		p := s.Properties[name]
		if p.Items != nil {
			p = *p.Items
		}
		values := p.Enum
		if p.Type == "boolean" {
			values = []any{true, false}
		}
		for _, v := range values {
			text, ok := v.(string)
			if !ok {
				text = valueWords(v)
			}
			list = append(list, name+"="+text)
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
	for _, name := range s.names() {
		used := slices.ContainsFunc(given, func(g string) bool { return strings.HasPrefix(g, name+"=") })
		if !used || s.Properties[name].Type == "array" {
			list = append(list, described(name+"=", s.Properties[name].words(s.required(name))))
		}
	}
	return list, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeIDs gives short ids of tasks, newest first: those that live, or all.
func (a *app) completeIDs(live bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) (choices, cobra.ShellCompDirective) {
		ctx, cancel, c := a.forShell(cmd)
		defer cancel()
		q := client.Query{Limit: 50}
		if live {
			q.States = deputy.LiveStates()
		}
		page, err := c.Tasks(ctx, q)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var list choices
		for _, t := range page.Tasks {
			if !slices.Contains(args, short(t.ID)) {
				list = append(list, described(short(t.ID), t.Module+"/"+t.Action+" "+paramWords(t.Params)+" "+string(t.State)))
			}
		}
		return list, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

func described(word, text string) string {
	if text = strings.TrimSpace(printable(text)); text == "" {
		return word
	}
	return word + "\t" + text
}
