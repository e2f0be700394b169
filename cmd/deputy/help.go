package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// writeHelp writes a verb's help, or the first screen for the root.
func writeHelp(a *app, cmd *cobra.Command) {
	w := cmd.OutOrStdout()
	heading := func(text string) { fmt.Fprintf(w, "\n%s\n", a.style(a.outTerm, bold, text)) }
	fmt.Fprintln(w, longOf(cmd))
	fmt.Fprintf(w, "\n%s %s\n", a.style(a.outTerm, bold, "Usage:"), useLine(cmd))
	writeVerbs(w, cmd, heading)
	if cmd.Example != "" {
		heading("Examples:")
		fmt.Fprintln(w, cmd.Example)
	}
	if flags := visibleFlags(cmd); len(flags) > 0 {
		heading("Options:")
		writeFlags(w, flags)
	}
	if text := cmd.Annotations[exitStatus]; text != "" {
		heading("Exit status:")
		fmt.Fprintln(w, indent(text))
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\nMore about one of them: %s VERB --help\n", cmd.CommandPath())
	}
}

func longOf(cmd *cobra.Command) string {
	if cmd.Long != "" {
		return cmd.Long
	}
	return cmd.Short + "."
}

// useLine gives the whole command line of a verb.
func useLine(cmd *cobra.Command) string {
	if cmd.HasParent() {
		return cmd.Parent().CommandPath() + " " + cmd.Use
	}
	return cmd.Use + " VERB [ARGUMENT …]"
}

// writeVerbs lists the verbs below cmd, by group where there are groups.
func writeVerbs(w io.Writer, cmd *cobra.Command, heading func(string)) {
	list := func(group string) {
		for _, c := range cmd.Commands() {
			if c.GroupID == group && !c.Hidden {
				fmt.Fprintf(w, "  %-12s%s\n", c.Name(), c.Short)
			}
		}
	}
	for _, g := range cmd.Groups() {
		heading(g.Title + ":")
		list(g.ID)
	}
	if len(cmd.Groups()) == 0 && cmd.HasAvailableSubCommands() {
		heading("Verbs:")
		list("")
	}
}

// visibleFlags gives a verb's own flags, then the inherited ones.
func visibleFlags(cmd *cobra.Command) []*pflag.Flag {
	cmd.InitDefaultHelpFlag()
	var own, inherited []*pflag.Flag
	collect := func(list *[]*pflag.Flag) func(*pflag.Flag) {
		return func(f *pflag.Flag) {
			if !f.Hidden && f.Name != "help" {
				*list = append(*list, f)
			}
		}
	}
	cmd.LocalFlags().VisitAll(collect(&own))
	cmd.InheritedFlags().VisitAll(collect(&inherited))
	return append(own, inherited...)
}

// flagName writes a flag with its short form and argument: "-n, --lines N".
func flagName(f *pflag.Flag) string {
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	if arg, _ := pflag.UnquoteUsage(f); arg != "" {
		name += " " + arg
	}
	return name
}

func writeFlags(w io.Writer, flags []*pflag.Flag) {
	width := 0
	for _, f := range flags {
		width = max(width, len(flagName(f)))
	}
	for _, f := range flags {
		_, text := pflag.UnquoteUsage(f)
		fmt.Fprintf(w, "  %-*s  %s\n", width, flagName(f), text)
	}
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(text, "\n", "\n  ")
}
