package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"deputy/client"
	"deputy/internal/doctor"
	"deputy/internal/monitor/look"
)

// Exit statuses of doctor are those of a monitoring plug-in (Nagios, Icinga, …).
const (
	doctorWeaker = 1
	doctorWrong  = 2
	doctorUnseen = 3
)

func newDoctor(a *app) *cobra.Command {
	var h home
	var full bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine lacks for each promise, what follows, and the remedy",
		Long: `Say what this machine lacks for each promise, what follows, and the remedy: kernel,
cgroups, disk, permissions, clock, limits, the service's unit, and the journal. It
changes nothing. As an ordinary user it says what it could not look at.

It looks at --config and --state; else at what the daemon that answers names; else
at the installed service; else at your own "deputy up". The daemon may be down: then
that is what is wrong.

The exit status is that of a monitoring plug-in (Nagios, Icinga): for once, a wrong
command line is 3.`,
		Example: `  deputy doctor
  sudo deputy doctor --full
  deputy doctor --json | jq '.findings[] | select(.level != "ok")'`,
		Annotations: map[string]string{exitStatus: `0    all is well
1    something is weaker than it could be
2    something is wrong
3    something could not be looked at, and of the rest all is well; or the command
     line is wrong`},
		Args: func(cmd *cobra.Command, args []string) error { return asUnknown(exactly(0, "no argument")(cmd, args)) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			return doctorVerb(cmd.Context(), a, h, full)
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &exitError{doctorUnseen, fmt.Errorf("%w; see: %s --help", err, cmd.CommandPath())}
	})
	cmd.Flags().StringVar(&h.config, "config", "", "the `DIR` with deputy.toml, modules.d, allow.d and keys")
	cmd.Flags().StringVar(&h.state, "state", "", "the `DIR` of the journal and the tasks' output")
	cmd.Flags().BoolVar(&full, "full", false, "follow the whole journal, not its last segment alone")
	return cmd
}

// asUnknown gives a mistake in the command line the status of what could not be
// looked at.
func asUnknown(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{doctorUnseen, err}
}

func doctorVerb(ctx context.Context, a *app, h home, full bool) error {
	eyes := lookers()
	defer eyes.Close()
	m, err := a.patient(ctx, h, eyes)
	if err != nil {
		return asUnknown(err)
	}
	m.Full = full
	r := doctor.Examine(ctx, m)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if a.json {
		err = a.printJSON(r)
	} else {
		a.printFindings(m, r)
	}
	if err != nil {
		return asUnknown(err)
	}
	return silent(map[doctor.Level]int{doctor.Unseen: doctorUnseen, doctor.Weaker: doctorWeaker, doctor.Wrong: doctorWrong}[r.Level])
}

// rootState is where the installed service keeps what it does.
const (
	rootState  = "/var/lib/deputy"
	rootSocket = "/run/deputy/deputy.sock"
)

// patient finds which deputy is to be examined.
func (a *app) patient(ctx context.Context, h home, eyes *look.Pool) (*doctor.Machine, error) {
	c := a.connect()
	if a.socket == "" && a.getenv("DEPUTY_SOCKET") == "" && h.state != "" {
		c = a.clientOf(filepath.Join(h.state, "deputy.sock"))
	}
	limited, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	var health *client.Health
	down := answering(eyes, h.state, c.Socket()) // a connection would wait for it, too
	if down == nil {
		health, down = c.Health(limited)
	}
	if errors.Is(down, context.DeadlineExceeded) {
		down = errServerDown
	}
	if health != nil { // what a daemon says is only where to look
		h.config, h.state = cmp.Or(h.config, health.ConfigDir), cmp.Or(h.state, health.StateDir)
	}
	if err := a.locate(&h); err != nil {
		return nil, err
	}
	m := &doctor.Machine{
		Config: h.config, Modules: []string{filepath.Join(h.config, "modules.d")}, State: h.state,
		Socket: filepath.Join(h.state, "deputy.sock"), Programs: "/usr/sbin",
		Owner: a.uid, Look: eyes, Now: a.now, Query: doctor.Query,
		Ask: func(context.Context) (*client.Health, error) { return health, down },
	}
	if health != nil {
		m.Socket = c.Socket()
	}
	if answering(eyes, h.state) != nil {
		m.Owner = 0 // what is there is looked at no more
	} else if info, err := os.Stat(h.state); err == nil {
		m.Owner = owner(info)
	}
	if h.config == rootConfig && h.state == rootState {
		m.Installed, m.Owner, m.Socket = true, 0, rootSocket
		m.Modules = append([]string{vendorModules}, m.Modules...)
	}
	if daemon, err := findDaemon(); err == nil {
		m.Programs = filepath.Dir(daemon)
	}
	return m, nil
}

// locate fills in what neither the command line nor a daemon has named: the
// installed service, if there is one, else one's own.
func (a *app) locate(h *home) error {
	if _, err := os.Stat(rootConfig); err == nil && h.config == "" && h.state == "" {
		h.config, h.state = rootConfig, rootState
	}
	h.state = cmp.Or(h.state, a.stateHome())
	h.config = cmp.Or(h.config, filepath.Join(h.state, "examples"))
	for _, path := range []*string{&h.config, &h.state} {
		whole, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("cannot find %s: %w", *path, err)
		}
		*path = whole
	}
	return nil
}

// printFindings writes one line for what is well, and a paragraph for what is not.
func (a *app) printFindings(m *doctor.Machine, r *doctor.Report) {
	fmt.Fprintf(a.out, "config %s, state %s\n", m.Config, m.State)
	for _, f := range r.Findings {
		level := a.style(a.outTerm, levelColour(f.Level), fmt.Sprintf("%-7s", f.Level))
		fmt.Fprintf(a.out, "%s %-9s %s\n", level, f.Area, hang(f.What))
		for _, line := range [][2]string{{"concerns", f.Follows}, {"remedy", f.Remedy}} {
			if line[1] != "" {
				fmt.Fprintf(a.out, "%-17s %s: %s\n", "", line[0], hang(line[1]))
			}
		}
	}
	fmt.Fprintf(a.out, "%d wrong, %d weaker, %d not seen, %d well\n",
		r.Count(doctor.Wrong), r.Count(doctor.Weaker), r.Count(doctor.Unseen), r.Count(doctor.OK))
}

// hang keeps the further lines of a text under its first.
func hang(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	return strings.Join(lines, "\n"+strings.Repeat(" ", 18))
}

func levelColour(l doctor.Level) colour {
	switch l {
	case doctor.OK:
		return green
	case doctor.Wrong:
		return red
	}
	return yellow
}
