package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"deputy"
)

func newActions(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "actions [MODULE [ACTION]]",
		Short: "List the actions that you may ask for, and their params",
		Long: `List the actions that you may ask for, and their params.

A param in brackets may be left out; "…" marks one that takes several values.
With one action its params are told one by one. --json prints their JSON Schemas.
With --all an auditor sees every action, and who may do it by which rule.`,
		Example: `  deputy actions
  deputy actions portscan scan
  deputy actions portscan scan --json
  deputy actions --all service`,
		Annotations:       map[string]string{exitStatus: plainStatus},
		Args:              atMost(2, "at most a module and an action"),
		ValidArgsFunction: a.completeCall,
		RunE: func(cmd *cobra.Command, args []string) error {
			if all {
				return everybodyVerb(cmd.Context(), a, args)
			}
			return actionsVerb(cmd.Context(), a, args)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "auditors: every action, and who may do it by which rule")
	return cmd
}

// everybodyVerb shows who may do what, one line for each rule.
func everybodyVerb(ctx context.Context, a *app, args []string) error {
	all, err := a.connect().AllActions(ctx)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(i deputy.ActionInfo) bool {
		return len(args) > 0 && i.Module != args[0] || len(args) > 1 && i.Action != args[1]
	})
	if a.json {
		return a.printJSON(map[string]any{"actions": append([]deputy.ActionInfo{}, all...)})
	}
	var rows [][]cell
	for _, i := range all {
		name := cell{i.Module + "/" + i.Action, bold}
		if len(i.Allow) == 0 {
			rows = append(rows, []cell{name, {"nobody", ""}, {}, {}})
		}
		for _, r := range i.Allow {
			rows = append(rows, []cell{name, {subjects(r), ""}, {conditions(r), ""}, {r.Rule, faint}})
		}
	}
	a.table([]string{"ACTION", "WHO", "HOW", "RULE"}, rows)
	return nil
}

// subjects says whom a rule names.
func subjects(r deputy.Allowed) string {
	words := slices.Clone(r.Users)
	for _, g := range r.Groups {
		words = append(words, "group:"+strings.TrimPrefix(g, "gid:"))
	}
	for _, k := range r.Keys {
		words = append(words, "key:"+k)
	}
	if len(words) == 0 {
		return "nobody"
	}
	return strings.Join(words, " ")
}

// conditions says for whom, with which values, and what more a rule gives.
func conditions(r deputy.Allowed) string {
	var words []string
	if r.EndUsers != nil {
		words = append(words, "for "+strings.Join(r.EndUsers, ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Where)) {
		var values []string
		for _, v := range r.Where[name] {
			values = append(values, valueWords(v))
		}
		words = append(words, name+"="+strings.Join(values, "|"))
	}
	if r.Stop {
		words = append(words, "stop")
	}
	if r.Read {
		words = append(words, "read")
	}
	return strings.Join(words, ", ")
}

func actionsVerb(ctx context.Context, a *app, args []string) error {
	c := a.connect()
	if len(args) == 2 {
		one, err := c.Action(ctx, args[0], args[1])
		if err != nil {
			return err
		}
		return a.showAction(one)
	}
	all, err := c.Actions(ctx)
	if err != nil {
		return err
	}
	if len(args) == 1 {
		all = slices.DeleteFunc(all, func(i deputy.ActionInfo) bool { return i.Module != args[0] })
	}
	if a.json {
		return a.printJSON(map[string]any{"actions": append([]deputy.ActionInfo{}, all...)})
	}
	if len(all) == 0 {
		fmt.Fprintln(a.err, "deputy: there is no action that you may ask for; an administrator grants one with a rule")
		return nil
	}
	return a.actionTable(all)
}

func (a *app) actionTable(all []deputy.ActionInfo) error {
	var rows [][]cell
	for _, i := range all {
		s, err := readSchema(&i)
		if err != nil {
			return err
		}
		rows = append(rows, []cell{
			{i.Module, ""}, {i.Action, bold}, {i.Description, ""}, {s.usage(), faint},
		})
	}
	a.table([]string{"MODULE", "ACTION", "DESCRIPTION", "PARAMS"}, rows)
	return nil
}

// names lists the params: those that must be given first, each by its name.
func (s *schema) names() []string {
	rest := slices.DeleteFunc(slices.Sorted(maps.Keys(s.Properties)), s.required)
	return append(slices.Sorted(slices.Values(s.Required)), rest...)
}

func (s *schema) required(name string) bool { return slices.Contains(s.Required, name) }

// usage writes the params as one would type them: "host=… [ports=…]…".
func (s *schema) usage() string {
	var words []string
	for _, name := range s.names() {
		word := name + "=" + strings.ToUpper(kindOf(s.Properties[name]))
		if s.Properties[name].Type == "array" {
			word += "…"
		}
		if !s.required(name) {
			word = "[" + word + "]"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// kindOf gives the type of one value: of an item, where there may be several.
func kindOf(s schema) string {
	if s.Type == "array" && s.Items != nil {
		return s.Items.Type
	}
	return s.Type
}

func (a *app) showAction(i *deputy.ActionInfo) error {
	if a.json {
		return a.printJSON(i)
	}
	s, err := readSchema(i)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.out, strings.TrimSpace("deputy run "+i.Module+" "+i.Action+" "+s.usage()))
	if i.Description != "" {
		fmt.Fprintln(a.out, printable(i.Description))
	}
	for _, name := range s.names() {
		fmt.Fprintf(a.out, "  %-16s %s\n", name, s.Properties[name].words(s.required(name)))
	}
	return nil
}

// words says what one param is: "list of integer, required: the targets".
func (s schema) words(required bool) string {
	text := s.Type
	if s.Type == "array" {
		text = "list of " + kindOf(s)
	}
	if len(s.Enum) > 0 {
		var values []string
		for _, v := range s.Enum {
			values = append(values, valueWords(v))
		}
		text += ", one of " + strings.Join(values, ", ")
	}
	switch {
	case s.Default != nil:
		text += ", otherwise " + valueWords(s.Default)
	case !required:
		text += ", may be left out"
	}
	if s.Description != "" {
		text += ": " + printable(s.Description)
	}
	return text
}
