package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// openrc is the service manager of Alpine and Gentoo (openrc-run(8), rc-update(8)).
func openrc() manager {
	const script = "/etc/init.d/deputy"
	return manager{
		name:   "openrc",
		files:  []file{{"openrc/deputy", script, 0o755, "# " + mark}},
		more:   []string{"/etc/conf.d/deputy"},
		enable: [][]string{{"rc-update", "--quiet", "add", "deputy", "default"}},
		disable: [][]string{
			{"rc-service", "--ifstarted", "deputy", "stop"},
			{"sh", "-c", "rc-update --quiet delete deputy default || true"}, // it fails where an administrator has done so
		},
		control: [3][]string{
			start:   {"rc-service", "deputy", "start"},
			stop:    {"rc-service", "deputy", "stop"},
			restart: {"rc-service", "deputy", "restart"},
		},
		status: openrcStatus,
		why:    func(context.Context) string { return "" }, // rc-service prints it
		live:   func() int { return 0 },                    // it has no cgroup of ours to look into
	}
}

func openrcStatus(ctx context.Context) (Status, error) {
	const script = "/etc/init.d/deputy"
	if _, err := os.Stat(script); err != nil {
		return Status{Detail: "there is no " + script}, nil
	}
	s := Status{Installed: true, File: script}
	enabled, err := output(ctx, []string{"rc-update", "show", "default"})
	if err != nil {
		return s, err
	}
	for line := range strings.Lines(enabled) {
		s.Enabled = s.Enabled || strings.HasPrefix(strings.TrimSpace(line), "deputy |")
	}
	text, err := output(ctx, []string{"rc-service", "deputy", "status"})
	var exit *exec.ExitError // 3 and others: it does not run
	if err != nil && !errors.As(err, &exit) {
		return s, err
	}
	s.Running = err == nil
	_, s.Detail, _ = strings.Cut(strings.TrimSpace(text), "status: ")
	if pid, err := os.ReadFile("/run/deputy.pid"); err == nil && s.Running {
		_, _ = fmt.Sscan(string(pid), &s.PID)
	}
	return s, nil
}
