package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"deputy/client"
)

func newStatus(a *app) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say whether deputy answers, its version, and which promise is weaker here",
		Long: `Say whether deputy answers, its version, and which promise is weaker here.

With --timeout it keeps asking until the daemon answers, at most that long: for
scripts that have just started it.`,
		Example: `  deputy status
  deputy up & deputy status --timeout 10s`,
		Annotations: map[string]string{exitStatus: `0    it answers
1    it does not; stderr says where it was looked for
2    the command line is wrong`},
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := notNegative(cmd, "timeout", int64(timeout)); err != nil {
				return err
			}
			return statusVerb(cmd.Context(), a, timeout)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "keep asking for at most this `TIME` (like 10s)")
	return cmd
}

// healthTime is how long one answer may take; healthEvery is the pause between
// two attempts.
const (
	healthTime  = 5 * time.Second
	healthEvery = 50 * time.Millisecond
)

// errServerDown is what a socket means that connects and does not answer.
var errServerDown = errors.New("its socket is there, but its server is not; see its log")

func statusVerb(ctx context.Context, a *app, timeout time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, max(timeout, healthTime))
	defer cancel()
	deadline := time.Now().Add(timeout)
	for {
		c := a.connect()
		h, err := c.Health(limited)
		if err == nil {
			return a.printHealth(c.Socket(), h)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("deputy does not answer: %w", errServerDown)
		}
		if time.Now().Add(healthEvery).After(deadline) {
			return err
		}
		time.Sleep(healthEvery)
	}
}

func (a *app) printHealth(socket string, h *client.Health) error {
	if a.json {
		return a.printJSON(h.Raw)
	}
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(a.out, "%-10s %s\n", name, printable(value))
		}
	}
	status := h.Status
	switch {
	case h.Draining:
		status = "draining: nothing new is taken; end it with: deputy drain --off"
	case h.Refusing != "":
		status += ": it answers, and takes nothing new: " + h.Refusing
	}
	line("status", status)
	line("version", h.Version)
	line("socket", socket)
	line("config", h.ConfigDir)
	line("state", h.StateDir)
	line("policy", h.Policy)
	line("proof", proofWords(h.Proof))
	line("weaker", h.Weakness)
	if h.LogLost > 0 {
		line("log", fmt.Sprintf("%d lines were lost: the log could not be written", h.LogLost))
	}
	return nil
}

// proofWords says what "nothing lives" rests on.
func proofWords(proof string) string {
	switch proof {
	case "cgroup":
		return "cgroup: each task has its own, and a stop waits until it is empty"
	case "subreaper":
		return "subreaper: a process above each task ends what it leaves"
	}
	return proof
}
