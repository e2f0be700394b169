package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"deputy"
)

func newExplain(a *app) *cobra.Command {
	var params, as string
	cmd := &cobra.Command{
		Use:   "explain MODULE ACTION [name=value …]",
		Short: "Say whether an action would be allowed, by which rule, and what would run",
		Long: `Say whether an action would be allowed, by which rule, and what would run.

Nothing runs. Those who may not have the action are told only that; an auditor
may ask for another caller and is told each rule and why it does not hold.`,
		Example: `  deputy explain service restart unit=nginx.service
  deputy explain --as www-data firewall apply`,
		Annotations: map[string]string{exitStatus: `0    it would be allowed
1    it would not, or the daemon could not be asked
2    the command line is wrong`},
		Args:              atLeast(2, "a module and an action"),
		ValidArgsFunction: a.completeCall,
		RunE: func(cmd *cobra.Command, args []string) error {
			return explainVerb(cmd.Context(), a, as, params, args)
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "auditors: for this `CALLER`: a user, uid:N or key:NAME")
	cmd.Flags().StringVar(&params, "params", "", "all params as one `JSON` object; - reads stdin, @FILE a file")
	return cmd
}

func explainVerb(ctx context.Context, a *app, as, whole string, args []string) error {
	c := a.connect()
	who, err := caller(as)
	if err != nil {
		return err
	}
	params, err := a.params(ctx, c, args[0], args[1], whole, args[2:])
	if err != nil {
		return err
	}
	e, err := c.Explain(ctx, args[0], args[1], params, who)
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(e)
	} else {
		a.printExplanation(e)
	}
	if err == nil && !e.Allowed {
		err = silent(statusFailed)
	}
	return err
}

func (a *app) printExplanation(e *deputy.Explanation) {
	verdict := a.style(a.outTerm, green, "allowed")
	if !e.Allowed {
		verdict = a.style(a.outTerm, red, "not allowed")
	}
	if e.Rule != "" {
		verdict += " by " + e.Rule
	}
	fmt.Fprintln(a.out, verdict)
	if e.Reason != "" {
		fmt.Fprintln(a.out, printable(e.Reason))
	}
	if e.Error != nil && e.Error.Detail != e.Reason {
		fmt.Fprintln(a.out, "the request would be told: "+refusal(e.Error))
	}
	for _, d := range e.Denied {
		fmt.Fprintf(a.out, "  %s: %s\n", d.Rule, printable(d.Reason))
	}
	for _, t := range e.Tasks {
		a.printLaunch(&t)
	}
	if e.More > 0 {
		fmt.Fprintf(a.out, "\n  and %d more, which are not shown: they are too long together\n", e.More)
	}
	if len(e.Tasks) > 0 {
		a.printLimits(e)
	}
	for _, w := range e.Warnings {
		fmt.Fprintln(a.out, a.style(a.outTerm, yellow, "warning:"), printable(w))
	}
}

func (a *app) printLaunch(t *deputy.Launch) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(a.out, "  %-10s %s\n", name, printable(value))
		}
	}
	fmt.Fprintln(a.out)
	if t.Stops != nil {
		line("stops", *t.Stops+", the live task with lock "+deref(t.Lock))
		return
	}
	var argv []string
	for _, arg := range t.Argv {
		argv = append(argv, valueWords(arg))
	}
	line("command", strings.Join(argv, " "))
	line("user", t.User)
	line("groups", strings.Join(t.Groups, " "))
	line("directory", t.Directory)
	for _, e := range t.Env {
		line("env", e)
	}
	for _, f := range t.Files {
		line("file", fmt.Sprintf("%s/%s as descriptor %d", strings.TrimSuffix(f.Under, "/"), f.Path, f.Descriptor))
	}
	line("lock", deref(t.Lock))
}

func (a *app) printLimits(e *deputy.Explanation) {
	var words []string
	for _, l := range []struct {
		name string
		ms   int64
	}{{"timeout", e.TimeoutMS}, {"start within", e.WithinMS}, {"grace", e.GraceMS}, {"linger", e.LingerMS}} {
		if l.ms > 0 {
			words = append(words, l.name+" "+(time.Duration(l.ms)*time.Millisecond).String())
		}
	}
	if e.OutputCap > 0 {
		words = append(words, fmt.Sprintf("output at most %d bytes", e.OutputCap))
	}
	if len(words) > 0 {
		fmt.Fprintf(a.out, "  %-10s %s\n", "limits", strings.Join(words, ", "))
	}
}
