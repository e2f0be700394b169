package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Here is the service manager that runs on this machine.
func Here(p Programs) (*Service, error) {
	if _, err := os.Stat("/run/systemd/system"); err == nil { // sd_booted(3)
		return &Service{p, systemd()}, nil
	}
	if _, err := os.Stat("/run/openrc"); err == nil {
		return &Service{p, openrc()}, nil
	}
	return nil, errors.New("cannot find a service manager: neither systemd nor OpenRC runs here; have your own start deputyd as root, see: deputyd --help")
}

// systemdUnits is where units go that no package has brought. Unlike those in
// /etc/systemd/system an administrator can mask them (systemd.unit(5)).
const systemdUnits = "/usr/local/lib/systemd/system"

func systemd() manager {
	units := []string{"deputy.socket", "deputy.service"}
	systemctl := func(verb string, more ...string) []string {
		return append([]string{"systemctl", "--quiet", verb}, more...)
	}
	m := manager{
		name:    "systemd",
		vendor:  []string{"/etc/systemd/system/deputy.service", "/usr/lib/systemd/system/deputy.service", "/lib/systemd/system/deputy.service"},
		enable:  [][]string{systemctl("daemon-reload"), systemctl("enable", units...)},
		disable: [][]string{systemctl("disable", append([]string{"--now"}, units...)...)},
		forget:  [][]string{systemctl("daemon-reload")},
		control: [3][]string{
			start: systemctl("start", "deputy.service"), // which wants the socket
			// With the socket, for else the next connection starts it again.
			stop:    systemctl("stop", units...),
			restart: systemctl("restart", "deputy.service"),
		},
		status: systemdStatus, why: systemdLog, live: systemdTasks,
	}
	for _, unit := range []string{"deputy.service", "deputy.socket"} {
		m.files = append(m.files, file{"systemd/" + unit, filepath.Join(systemdUnits, unit), 0o644, "# " + mark})
		m.more = append(m.more, filepath.Join("/etc/systemd/system", unit+".d"))
	}
	return m
}

// systemdStatus asks for properties of the unit (systemctl(1), org.freedesktop.systemd1(5)).
func systemdStatus(ctx context.Context) (Status, error) {
	text, err := output(ctx, []string{"systemctl", "show", "deputy.service",
		"--property=LoadState,ActiveState,SubState,UnitFileState,MainPID,FragmentPath,StatusText"})
	if err != nil {
		return Status{}, err
	}
	property := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		property[name] = value
	}
	s := Status{
		Installed: property["LoadState"] != "not-found", // one that is masked, too: systemctl says so
		Enabled:   property["UnitFileState"] == "enabled",
		Running:   property["ActiveState"] == "active" || property["ActiveState"] == "reloading",
		File:      property["FragmentPath"],
		Detail:    fmt.Sprintf("%s (%s)", property["ActiveState"], property["SubState"]),
	}
	if property["LoadState"] != "loaded" {
		s.Detail = property["LoadState"]
	}
	if text := property["StatusText"]; s.Running && text != "" { // systemd keeps that of an earlier run
		s.Detail += ": " + text
	}
	_, _ = fmt.Sscan(property["MainPID"], &s.PID) // 0 where there is none
	return s, nil
}

// systemdLog is what the service said in the last seconds.
func systemdLog(ctx context.Context) string {
	text, _ := output(ctx, []string{"journalctl", "--quiet", "--no-pager", "--unit=deputy.service", "--identifier=deputyd",
		"--lines=5", "--output=cat", fmt.Sprintf("--since=@%d", time.Now().Add(-10*time.Second).Unix())})
	return strings.TrimSpace(text)
}

// systemdTasks counts the populated cgroups below the unit's. They stay when the
// service ends, and systemd leaves them be (Delegate=yes, KillMode=process).
func systemdTasks() (n int) {
	for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} { // pure v2, hybrid
		for _, unit := range []string{"*.slice/deputy.service", "*.slice/*.slice/deputy.service"} {
			leaves, _ := filepath.Glob(filepath.Join(mount, unit, "tasks", "*", "cgroup.events")) // the pattern is sound
			for _, leaf := range leaves {
				if events, err := os.ReadFile(leaf); err == nil && bytes.Contains(events, []byte("populated 1")) {
					n++
				}
			}
		}
	}
	return n
}
