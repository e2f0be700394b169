package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"deputy"
)

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Long: `Print the version of this program. That of the daemon is told by
"deputy status".`,
		Example:     `  deputy version --json`,
		Annotations: map[string]string{exitStatus: plainStatus},
		Args:        exactly(0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			if a.json {
				return a.printJSON(map[string]string{
					"version": deputy.Version, "os": runtime.GOOS, "arch": runtime.GOARCH, "go": runtime.Version(),
				})
			}
			_, err := fmt.Fprintln(a.out, versionWords())
			return err
		},
	}
}

func versionWords() string {
	return fmt.Sprintf("deputy %s (%s/%s, %s)", deputy.Version, runtime.GOOS, runtime.GOARCH, runtime.Version())
}
