package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"deputy/internal/service"
)

func newService(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "service",
		Short: "Install deputy as a service of this machine; start it, stop it, remove it",
		Long: `Install deputy as a service of this machine; start it, stop it, remove it.

The service manager is systemd or OpenRC, or launchd on macOS. All but status
needs root. Tasks outlive a stop and a restart of the service: the next start
takes them up.`,
		Example: `  sudo deputy service install
  sudo deputy service start
  deputy service status`,
		Annotations: map[string]string{exitStatus: plainStatus},
	}
	cmd.AddCommand(
		newServiceInstall(a), newServiceRemove(a),
		newServiceVerb(a, "start", "Start the service, and wait until it is ready",
			`If it cannot start, its last words are shown; it is tried again every second until
it is mended or stopped.`, (*service.Service).Start),
		newServiceVerb(a, "stop", "Stop the service; tasks live on for the next start",
			`The socket is closed, too: nobody can ask until the next start. To end the tasks
as well, stop them first.`, (*service.Service).Stop),
		newServiceVerb(a, "restart", "Stop the service and start it; tasks live on",
			`Under systemd no connection is refused meanwhile. To put changed manifests and
rules in force no restart is needed: deputy reload.`, (*service.Service).Restart),
		newServiceStatus(a))
	return cmd
}

func newServiceInstall(a *app) *cobra.Command {
	return newServiceVerb(a, "install", "Make deputy a service that starts with the machine",
		`Makes the user that the server runs as and the folders of /etc/deputy, and tells
the service manager; it starts nothing. Files that a package has brought are kept.
Doing it again changes nothing that you have changed.`, (*service.Service).Install)
}

func newServiceRemove(a *app) *cobra.Command {
	var purge bool
	cmd := newServiceVerb(a, "remove", "Stop the service, and make the machine forget it",
		`Configuration and journal stay, and it says where; --purge deletes them, too.
It is refused while tasks live: stop them first.`,
		func(s *service.Service, ctx context.Context) (service.Report, error) { return s.Remove(ctx, purge) })
	cmd.Flags().BoolVar(&purge, "purge", false, "delete configuration, journal, output and the server's user, too")
	return cmd
}

// newServiceVerb makes a verb that acts, and says what was done and what to do next.
func newServiceVerb(a *app, name, short, long string, act func(*service.Service, context.Context) (service.Report, error)) *cobra.Command {
	return &cobra.Command{
		Use:         name,
		Short:       short,
		Long:        short + ".\n\n" + long,
		Example:     "  sudo deputy service " + name,
		Annotations: map[string]string{exitStatus: plainStatus},
		Args:        exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := here()
			if err != nil {
				return err
			}
			report, err := act(s, cmd.Context())
			if err == nil && a.json {
				return a.printJSON(report)
			}
			for _, sentence := range report.Done { // what was done before it failed, too
				if a.json {
					fmt.Fprintln(a.err, sentence)
				} else {
					fmt.Fprintln(a.out, sentence)
				}
			}
			if err == nil && report.Next != "" {
				fmt.Fprintln(a.out, report.Next)
			}
			return err
		},
	}
}

// Exit statuses of "service status", as init scripts have them.
const (
	statusNotRunning   = 3
	statusNotInstalled = 4
)

func newServiceStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say whether the service is installed and runs",
		Long: `Say whether the service is installed and runs.

What the daemon itself answers is told by: deputy status.`,
		Example: `  deputy service status
  deputy service status --json`,
		Annotations: map[string]string{exitStatus: `0    it runs
1    the service manager cannot be asked; stderr says why
2    the command line is wrong
3    it is installed and does not run
4    it is not installed`},
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := here()
			if err != nil {
				return err
			}
			now, err := s.Status(cmd.Context())
			if err != nil {
				return err
			}
			if a.json {
				if err := a.printJSON(now); err != nil {
					return err
				}
			} else {
				a.printService(now)
			}
			switch {
			case now.Running:
				return nil
			case now.Installed:
				return silent(statusNotRunning)
			}
			return silent(statusNotInstalled)
		},
	}
}

func (a *app) printService(s service.Status) {
	line := func(name, value string) { fmt.Fprintf(a.out, "%-10s %s\n", name, printable(value)) }
	line("manager", s.Manager)
	line("state", s.Detail)
	if s.PID != 0 {
		line("process", fmt.Sprint(s.PID))
	}
	switch {
	case !s.Installed:
		line("installed", "no; install it with: deputy service install")
		return
	case s.Enabled:
		line("installed", "yes, starts with the machine")
	default:
		line("installed", "yes, does not start with the machine")
	}
	line("file", s.File)
	if !s.Running {
		line("next", "deputy service start")
	}
}

// here is the service of the programs that lie where this one does.
func here() (*service.Service, error) {
	daemon, err := findDaemon()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot find this program: %w", err)
	}
	return service.Here(service.Programs{Daemon: daemon, Command: self})
}
