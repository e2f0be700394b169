package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"deputy"
	"deputy/client"
)

func newUpgrade(a *app) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Operators: have the daemon run the programs that were just installed",
		Long: `Operators: have the daemon run the programs that were just installed.

The programs that now stand where deputyd and deputy-server were started from
take over: with the same process ids, while tasks run and callers ask. They must
first show that they can start, read the configuration and read the journal; if
one cannot, the old ones go on and the reason is told. Prints the old and the new
version once the new one answers. The same is ordered by: kill -USR2 PID-OF-DEPUTYD`,
		Example: `  apt-get install deputy && deputy upgrade
  deputy upgrade --json`,
		Annotations: map[string]string{exitStatus: `0    the new version answers
1    refused, or it does not answer in time; stderr says why
2    the command line is wrong`},
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return upgradeVerb(cmd.Context(), a, timeout)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "wait at most this `TIME` for the new version to answer")
	return cmd
}

func upgradeVerb(ctx context.Context, a *app, timeout time.Duration) error {
	c := a.connect()
	before, err := c.Health(ctx)
	if err != nil {
		return err
	}
	from, to, err := c.Upgrade(ctx)
	var refused *client.Error
	if errors.As(err, &refused) && refused.Refusal != nil && refused.Refusal.Code == deputy.BadParam {
		return errors.New(refused.Refusal.Detail) // no parameter is wrong, but a program
	}
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(timeout); ; time.Sleep(healthEvery) {
		limited, cancel := context.WithTimeout(ctx, healthTime)
		now, err := c.Health(limited)
		cancel()
		switch {
		case err == nil && now.Started != before.Started && now.Version == to:
			if a.json {
				return a.printJSON(map[string]string{"from": from, "to": to})
			}
			fmt.Fprintf(a.out, "upgraded from %s to %s\n", from, to)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(deadline) && err != nil:
			return fmt.Errorf("the upgrade from %s to %s was begun, and nobody answers: %w", from, to, err)
		case time.Now().After(deadline):
			return fmt.Errorf("the upgrade from %s to %s was begun, and version %s answers after %v; see the daemon's log", from, to, now.Version, timeout)
		}
	}
}
