package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// hiddenProcesses looks for a /proc that hides the processes of others:
// deputy-server finds there which task tells its progress.
func hiddenProcesses(m *Machine, _ context.Context) []Finding {
	text, err := os.ReadFile(filepath.Join(m.Root, "/proc/self/mountinfo"))
	if err != nil {
		return unseen("cannot read how /proc is mounted: "+err.Error(), "mount -t proc")
	}
	for line := range strings.Lines(string(text)) {
		left, right, _ := strings.Cut(line, " - ")
		fields := strings.Fields(left)
		if len(fields) < 5 || fields[4] != "/proc" || !strings.HasPrefix(right, "proc ") {
			continue
		}
		for option := range strings.SplitSeq(strings.TrimSpace(right[strings.LastIndex(right, " ")+1:]), ",") {
			if value, found := strings.CutPrefix(option, "hidepid="); found && value != "0" && value != "off" && m.Installed {
				return []Finding{{Level: Weaker, What: "/proc hides the processes of other users (hidepid=" + value + ")",
					Follows: "deputy-server cannot place who tells progress, so none is shown", Remedy: "mount -o remount,gid=deputy /proc, and the same in /etc/fstab"}}
			}
		}
	}
	return ok("/proc shows deputy-server whose progress it is told")
}

// mandatoryAccess says whether SELinux or AppArmor rules over the daemon, and so
// over every task.
func mandatoryAccess(m *Machine, _ context.Context) []Finding {
	enforcing, err := os.ReadFile(filepath.Join(m.Root, "/sys/fs/selinux/enforce"))
	if err == nil && strings.TrimSpace(string(enforcing)) == "1" {
		return selinux(m.label("attr/current"))
	}
	enabled, err := os.ReadFile(filepath.Join(m.Root, "/sys/module/apparmor/parameters/enabled"))
	if err == nil && strings.TrimSpace(string(enabled)) == "Y" {
		return apparmor(m.label("attr/apparmor/current"))
	}
	return ok("neither SELinux nor AppArmor rules over deputy")
}

// label reads a security label of the daemon, "" if it cannot be seen.
func (m *Machine) label(file string) string {
	pid := m.monitor()
	if pid == "" {
		return ""
	}
	text, _ := os.ReadFile(filepath.Join(m.Root, "/proc", pid, file))
	return strings.Trim(string(text), "\x00\n ")
}

func selinux(context string) []Finding {
	parts := strings.Split(context, ":")
	switch {
	case context == "":
		return unseen("SELinux is enforcing; the daemon's domain cannot be seen", "ps -eZ | grep deputyd")
	case len(parts) > 2 && (parts[2] == "initrc_t" || strings.HasPrefix(parts[2], "unconfined")):
		return ok("SELinux is enforcing, and deputyd runs as " + parts[2])
	}
	return []Finding{{Level: Weaker, What: "SELinux is enforcing, and deputyd runs as " + context,
		Follows: "its tasks may be denied what their user may", Remedy: "restorecon -Rv /usr/sbin/deputyd /var/lib/deputy /run/deputy, then restart deputy; what is denied: ausearch -m avc -c deputyd"}}
}

func apparmor(profile string) []Finding {
	switch profile {
	case "":
		return unseen("AppArmor is enabled; the daemon's profile cannot be seen", "aa-status")
	case "unconfined":
		return ok("AppArmor does not confine deputyd")
	}
	return []Finding{{Level: Weaker, What: "AppArmor confines deputyd: " + profile, Follows: "its tasks may be denied what their user may", Remedy: "aa-complain deputyd, then read what is denied: journalctl -k -g apparmor"}}
}
