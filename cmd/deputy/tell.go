package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

func newProgress(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "progress [PERCENT] [TEXT]",
		Short: "Tell how far the task is that this runs in: for scripts",
		Long: `Tell how far the task is that this runs in: for scripts.

What is left out stays as it was told before. ps, run and show show it, and the
Task has it as "progress". Outside a task, and where nobody listens, it does
nothing: a script that tells its progress runs by hand as well.`,
		Example: `  deputy progress 40 "copying"
  deputy progress 62.5
  deputy progress "almost there"`,
		Annotations: map[string]string{exitStatus: `0    told, or there is nobody to tell
2    the command line is wrong`},
		Args: cobra.MatchAll(atLeast(1, "a percentage, a text, or both"), atMost(2, "a percentage and a text; write the text in quotes")),
		RunE: func(_ *cobra.Command, args []string) error {
			report, err := reportOf(args)
			if err == nil {
				tellProgress(a.getenv("DEPUTY_NOTIFY_SOCKET"), report)
			}
			return err
		},
	}
}

// maxText is how much of a text is told, in bytes: the server keeps no more.
const maxText = 512

// reportOf writes what is told in the way of sd_notify(3).
func reportOf(args []string) (string, error) {
	var lines []string
	percent, err := strconv.ParseFloat(strings.TrimSuffix(args[0], "%"), 64)
	switch {
	case err == nil && percent >= 0 && percent <= 100:
		lines = append(lines, "X_PERCENT="+strconv.FormatFloat(percent, 'f', -1, 64))
		args = args[1:]
	case err == nil || len(args) > 1:
		return "", usage("%q is no percentage; write a number from 0 to 100", args[0])
	}
	for _, text := range args {
		text = strings.Map(func(r rune) rune {
			if r == '\n' || r == '\r' {
				return ' '
			}
			return r
		}, text)
		lines = append(lines, "STATUS="+text[:min(len(text), maxText)])
	}
	return strings.Join(lines, "\n"), nil
}
