package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"deputy/internal/logqueue"
	"deputy/internal/rootonly"
)

// home is where a deputy of one's own lives.
type home struct{ config, state, socket string }

func newUp(a *app) *cobra.Command {
	h := &home{}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run a deputy of your own here: no root, no file needed",
		Long: `Run a deputy of your own here: no root, no file needed.

Everything runs as you. Without --config it uses the examples that ship inside,
which allow you alone. Ctrl-C stops every task, leaves none behind, and ends.
With --state its socket is in that directory, so name it to the other verbs with
--socket or DEPUTY_SOCKET; otherwise they find it by themselves.`,
		Example: `  deputy up
  deputy up --config ./deputy --state ./state
  systemd-run --user --scope -p Delegate=yes deputy up`,
		Annotations: map[string]string{exitStatus: `0    it was ended by Ctrl-C or SIGTERM, and nothing is left
1    it could not start; stderr says why
2    the command line is wrong`},
		Args: exactly(0, "no argument"),
		RunE: func(*cobra.Command, []string) error { return upVerb(a, h) },
	}
	cmd.Flags().StringVar(&h.config, "config", "", "`DIR` with deputy.toml, modules.d, allow.d and keys")
	cmd.Flags().StringVar(&h.state, "state", "", "`DIR` for the journal and the tasks' output")
	return cmd
}

// upVerb becomes deputyd: same process, so that whoever started it can end it.
func upVerb(a *app, h *home) error {
	daemon, err := findDaemon()
	if err != nil {
		return err
	}
	examples := h.config == ""
	if err := a.settle(h); err != nil {
		return err
	}
	if examples {
		if err := rootonly.Check(h.config, 0o700); err != nil {
			return fmt.Errorf("cannot write the examples: %w", err)
		}
		if err := a.writeExamples(h.config, filepath.Dir(daemon)); err != nil {
			return err
		}
	}
	which := "from " + h.config
	if examples {
		which = "the examples that ship inside, written to " + h.config
	}
	logqueue.SurvivePipes() // as deputyd does: what is said here is said to a log
	fmt.Fprintf(a.err, "deputy: runs as you (%s) until Ctrl-C, which stops every task\n"+
		"  actions  %s\n  state    %s\n  socket   %s\n", strings.Replace(string(a.caller()), ":", " ", 1), which, h.state, h.socket)
	return become(daemon, h.command(daemon))
}

func (h *home) command(daemon string) []string {
	return []string{daemon, "--up", "--config", h.config, "--state", h.state, "--socket", h.socket}
}

// settle fills in what was not named and makes the directories, for their
// owner alone: they hold what tasks write.
func (a *app) settle(h *home) error {
	h.socket = a.socket
	if h.state == "" {
		h.state, h.socket = a.stateHome(), cmp.Or(h.socket, a.ownSocket())
	}
	h.socket = cmp.Or(h.socket, socketIn(h.state))
	h.config = cmp.Or(h.config, filepath.Join(h.state, "examples"))
	for _, path := range []*string{&h.state, &h.socket, &h.config} {
		whole, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("cannot find %s: %w", *path, err)
		}
		*path = whole
	}
	for _, dir := range append(foldersOf(h.socket), h.state) {
		if err := rootonly.Check(dir, 0o700); err != nil {
			return fmt.Errorf("cannot make a directory: %w", err)
		}
	}
	return nil
}

// findDaemon looks for deputyd beside this program, then in sbin beside its
// folder, which an ordinary user's PATH lacks, then in PATH.
func findDaemon() (string, error) {
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return "", fmt.Errorf("cannot find deputyd: %w", err)
	}
	dir := filepath.Dir(self)
	if _, err := os.Stat(filepath.Join(dir, "deputyd"+exe)); err != nil {
		dir = filepath.Join(filepath.Dir(dir), "sbin")
	}
	if daemon := beside(dir, "deputyd"+exe); daemon != "" {
		return daemon, nil
	}
	return "", fmt.Errorf("cannot find deputyd: it is neither beside %s nor in PATH; install all of deputy's programs together", self)
}
