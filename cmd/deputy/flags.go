package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagWords says what is wrong with a flag in a sentence.
func flagWords(err error) string {
	var wrong *pflag.InvalidValueError
	if !errors.As(err, &wrong) {
		return err.Error()
	}
	f := wrong.GetFlag()
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	switch f.Value.Type() {
	case "duration":
		return fmt.Sprintf("%s: %q is no time; write a number with its unit, like 10s, 5m or 2h", name, wrong.GetValue())
	case "int", "uint64":
		return fmt.Sprintf("%s: %q is not a whole number", name, wrong.GetValue())
	case "bool":
		return fmt.Sprintf("%s: %q is neither true nor false", name, wrong.GetValue())
	}
	return err.Error()
}

// positive says what is wrong with a number that was given and must be at least 1.
func positive(cmd *cobra.Command, flag string, n int) error {
	if cmd.Flags().Changed(flag) && n < 1 {
		return usage("--%s must be at least 1", flag)
	}
	return nil
}

// notNegative is positive for a number that may be 0, and for a time.
func notNegative[T int | int64](cmd *cobra.Command, flag string, n T) error {
	if cmd.Flags().Changed(flag) && n < 0 {
		return usage("--%s must not be negative", flag)
	}
	return nil
}

// plainUsages takes the marks out of what flags are for: a completion shows it as
// it is.
func plainUsages(cmd *cobra.Command) {
	plain := func(f *pflag.Flag) { f.Usage = strings.ReplaceAll(f.Usage, "`", "") }
	cmd.LocalFlags().VisitAll(plain)
	cmd.PersistentFlags().VisitAll(plain)
	for _, c := range cmd.Commands() {
		plainUsages(c)
	}
}
