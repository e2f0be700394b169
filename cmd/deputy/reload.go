package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newReload(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Operators: put changed manifests and rules in force",
		Long: `Operators: put changed manifests and rules in force.

Prints the digest of the policy now in force. If anything is wrong in the files,
the mistakes are told as "deputy check" tells them, and the old policy stays.
Tasks that run are not touched.`,
		Example:     `  deputy check && deputy reload`,
		Annotations: map[string]string{exitStatus: plainStatus},
		Args:        exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			digest, err := a.connect().Reload(cmd.Context())
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]string{"digest": digest})
			}
			fmt.Fprintln(a.out, "in force:", digest)
			return nil
		},
	}
}
