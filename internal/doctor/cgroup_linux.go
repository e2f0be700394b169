package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const scope = "systemd-run --user --scope -p Delegate=yes deputy up"

// cgroupTree asks the daemon what it stops tasks by; one that is down would be
// placed as we are.
func cgroupTree(m *Machine, _ context.Context) []Finding {
	if m.health != nil && m.health.Proof == "cgroup" {
		return ok("each task has a cgroup of its own, and a stop waits until it is empty")
	}
	remedy := scope
	if m.Installed {
		remedy = "Delegate=yes in the unit, and cgroup v2: systemd.unified_cgroup_hierarchy=1 on the kernel's command line"
	}
	const follows = nothing + ": it rests on a process above each task, and one that took another user by a setuid program can escape it"
	if m.health != nil {
		return []Finding{{Level: Weaker, What: m.health.Weakness, Follows: follows, Remedy: remedy}}
	}
	mount := m.mountOf("cgroup2")
	if mount == "" {
		return []Finding{{Level: Weaker, What: "no cgroup v2 tree is mounted", Follows: follows, Remedy: "boot with systemd.unified_cgroup_hierarchy=1, or: mount -t cgroup2 none /sys/fs/cgroup/unified"}}
	}
	own := filepath.Join(m.Root, mount, m.ownCgroup())
	if err := unix.Access(own, unix.W_OK); err != nil {
		return []Finding{{Level: Weaker, What: fmt.Sprintf("the cgroup %s is not mine to write in: %v", own, err), Follows: follows, Remedy: remedy}}
	}
	if m.ownCgroup() != "/" {
		if _, err := os.Stat(filepath.Join(own, "cgroup.kill")); err != nil {
			return []Finding{{Level: Weaker, What: "the kernel has no cgroup.kill (Linux 5.14)", Follows: follows, Remedy: newer}}
		}
	}
	return ok("a cgroup v2 tree is mounted at " + mount + ", and can be written in")
}

// mountOf finds where a file system type is mounted whole, or "".
func (m *Machine) mountOf(kind string) string {
	text, _ := os.ReadFile(filepath.Join(m.Root, "/proc/self/mountinfo"))
	for line := range strings.Lines(string(text)) {
		left, right, _ := strings.Cut(line, " - ")
		if fields := strings.Fields(left); strings.HasPrefix(right, kind+" ") && len(fields) > 4 && fields[3] == "/" {
			return fields[4]
		}
	}
	return ""
}

// ownCgroup is our place in the v2 tree.
func (m *Machine) ownCgroup() string {
	text, _ := os.ReadFile(filepath.Join(m.Root, "/proc/self/cgroup"))
	for line := range strings.Lines(string(text)) {
		if path, found := strings.CutPrefix(line, "0::"); found {
			return strings.TrimSpace(path)
		}
	}
	return "/"
}

// controllers looks for those that limits need.
func controllers(m *Machine, _ context.Context) []Finding {
	mount := m.mountOf("cgroup2")
	if mount == "" {
		return nil // said already
	}
	path := filepath.Join(m.Root, mount, "cgroup.controllers")
	text, err := os.ReadFile(path)
	if err != nil {
		return unseen(fmt.Sprintf("cannot read which controllers there are: %v", err), "ls "+mount)
	}
	var missing []string
	there := strings.Fields(string(text))
	for _, wanted := range []string{"memory", "pids", "cpu"} {
		if !contains(there, wanted) {
			missing = append(missing, wanted)
		}
	}
	if missing != nil {
		return []Finding{{Level: Weaker, What: "the cgroup v2 tree at " + mount + " lacks the controllers " + strings.Join(missing, ", "),
			Remedy: "boot with systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all on the kernel's command line"}}
	}
	return ok("the controllers memory, pids and cpu are there")
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
