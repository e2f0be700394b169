package service

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// Here is launchd. It compiles; it was not run.
func Here(p Programs) (*Service, error) { return &Service{p, launchd()}, nil }

const (
	plist = "/Library/LaunchDaemons/deputy.plist"
	label = "system/deputy"
)

// launchd knows a service while its plist is bootstrapped (launchctl(1), launchd.plist(5)).
func launchd() manager {
	return manager{
		name:    "launchd",
		files:   []file{{"launchd/deputy.plist", plist, 0o644, "<!-- " + mark + " -->"}},
		enable:  [][]string{{"launchctl", "enable", label}},
		disable: [][]string{{"launchctl", "disable", label}, {"sh", "-c", "launchctl bootout " + label + " || true"}},
		control: [3][]string{
			start:   {"launchctl", "bootstrap", "system", plist},
			stop:    {"launchctl", "bootout", label},
			restart: {"launchctl", "kickstart", "-k", label},
		},
		status: launchdStatus,
		why:    func(context.Context) string { return "" },
		live:   func() int { return 0 },
	}
}

func launchdStatus(ctx context.Context) (Status, error) {
	if _, err := os.Stat(plist); err != nil {
		return Status{Detail: "there is no " + plist}, nil
	}
	s := Status{Installed: true, Enabled: true, File: plist, Detail: "not loaded"}
	text, err := output(ctx, []string{"launchctl", "print", label})
	if err != nil {
		return s, nil // it is not bootstrapped
	}
	for line := range strings.Lines(text) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), " = "); name {
		case "state":
			s.Detail, s.Running = value, value == "running"
		case "pid":
			_, _ = fmt.Sscan(value, &s.PID)
		}
	}
	return s, nil
}
