package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// The first help screen: what belongs together stands together, in this order.
const (
	groupAsk     = "ask"
	groupWatch   = "watch"
	groupLearn   = "learn"
	groupDeclare = "declare"
	groupProve   = "prove"
	groupOperate = "operate"
	groupOther   = "other"
)

// exitStatus is the annotation that holds a verb's EXIT STATUS.
const exitStatus = "exit status"

const plainStatus = `0    done
1    refused or failed; stderr says why
2    the command line is wrong`

// newRoot builds the whole command line.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "deputy",
		Short: "Have declared privileged work done, watch it, stop it, prove who asked",
		Long: `Have declared privileged work done, watch it, stop it, prove who asked.

An administrator declares actions; you ask for one by its name. deputy decides
whether you may have it, runs it in the background as a task, and can stop all
that the task has started.`,
		Example: `  deputy actions                                   what may I ask for?
  deputy run service restart unit=nginx.service    ask, watch, get its exit code
  deputy ps                                        what runs?
  deputy stop 39e8184c                             end it and all that it started`,
		Annotations:   map[string]string{exitStatus: plainStatus},
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          unknownVerb,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.Version = versionWords()
	root.SetVersionTemplate("{{.Version}}\n")
	root.InitDefaultVersionFlag()
	root.Flags().Lookup("version").Usage = "print the version of this program"
	root.CompletionOptions.DisableDefaultCmd = true
	root.SuggestionsMinimumDistance = 2
	root.SetHelpCommand(&cobra.Command{Use: "help", Hidden: true, RunE: helpVerb})
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.PersistentFlags().StringVar(&a.socket, "socket", "", "`PATH` of the daemon's socket")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON")
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { writeHelp(a, cmd) })
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%s; see: %s --help", flagWords(err), cmd.CommandPath())
	})
	for _, g := range []cobra.Group{
		{ID: groupAsk, Title: "Ask"}, {ID: groupWatch, Title: "Watch"},
		{ID: groupLearn, Title: "Find out"}, {ID: groupDeclare, Title: "Declare"},
		{ID: groupProve, Title: "Prove"}, {ID: groupOperate, Title: "Operate"},
		{ID: groupOther, Title: "And"},
	} {
		root.AddGroup(&g)
	}
	cobra.EnableCommandSorting = false
	addVerbs(root, a)
	return root
}

// addVerbs adds every verb in the order of the first help screen.
func addVerbs(root *cobra.Command, a *app) {
	add := func(group string, verbs ...*cobra.Command) {
		for _, v := range verbs {
			v.GroupID = group
			root.AddCommand(v)
		}
	}
	add(groupAsk, takesAction(newRun(a)), takesAction(newCall(a)))
	add(groupWatch, newPs(a), newShow(a), newLogs(a), newWait(a), newStop(a))
	add(groupLearn, takesAction(newActions(a)), takesAction(newExplain(a)))
	add(groupDeclare, newNew(a), newCheck(a), newReload(a))
	add(groupProve, newEvents(a), newAudit(a), newKey(a))
	add(groupOperate, newUp(a), newStatus(a), newDoctor(a), newService(a), newQueue(a), newDrain(a), newSelftest(a), newUpgrade(a))
	add(groupOther, newProgress(a), newCGI(a), newCompletion(a), newVersion(a))
	root.AddCommand(newMan(a))
}

func unknownVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "; did you mean: deputy " + strings.Join(near, ", deputy ")
	}
	return usage("there is no verb %q%s; see: deputy --help", args[0], hint)
}

func helpVerb(cmd *cobra.Command, args []string) error {
	found, rest, err := cmd.Root().Find(args)
	if err != nil || len(rest) > 0 {
		return unknownVerb(cmd.Root(), args)
	}
	return found.Help()
}

// exactly, atLeast and atMost say what is missing in words, not in numbers.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usage("%s takes %s; see: %s --help", cmd.CommandPath(), what, cmd.CommandPath())
		}
		return nil
	}
}

func atLeast(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < n {
			return usage("%s needs %s; see: %s --help", cmd.CommandPath(), what, cmd.CommandPath())
		}
		return nil
	}
}

func atMost(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return usage("%s takes %s; see: %s --help", cmd.CommandPath(), what, cmd.CommandPath())
		}
		return nil
	}
}
