package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// manyTasks is how many live tasks a machine should have room for.
const manyTasks = 10000

// limits holds the system's limits against many live tasks: each takes one
// descriptor, one inotify watch and at least one process.
func limits(m *Machine, _ context.Context) []Finding {
	var list []Finding
	for _, l := range []struct {
		file   string
		least  int
		remedy string
	}{
		{"/proc/sys/fs/inotify/max_user_watches", manyTasks, "sysctl -w fs.inotify.max_user_watches=65536"},
		{"/proc/sys/fs/inotify/max_user_instances", 16, "sysctl -w fs.inotify.max_user_instances=128"},
		{"/proc/sys/kernel/pid_max", 2 * manyTasks, "sysctl -w kernel.pid_max=4194304"},
		{"/proc/sys/kernel/threads-max", manyTasks, "sysctl -w kernel.threads-max=60000"},
	} {
		if n, err := m.number(l.file); err == nil && n < l.least {
			list = append(list, Finding{Level: Weaker, What: fmt.Sprintf("%s is %d, less than %d", l.file, n, l.least), Remedy: l.remedy + ", and the same in /etc/sysctl.d"})
		}
	}
	list = append(list, m.descriptors()...)
	if list == nil {
		list = ok(fmt.Sprintf("the system's limits have room for %d tasks at a time", manyTasks))
	}
	return list
}

func (m *Machine) number(file string) (int, error) {
	text, err := os.ReadFile(filepath.Join(m.Root, file))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// descriptors looks at how many the daemon may have; of one that cannot be
// found, how many we may, who would start it.
func (m *Machine) descriptors() []Finding {
	process := "self"
	if pid := m.monitor(); pid != "" {
		process = pid
	}
	text, err := os.ReadFile(filepath.Join(m.Root, "/proc", process, "limits"))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		rest, found := strings.CutPrefix(line, "Max open files")
		fields := strings.Fields(rest)
		if !found || len(fields) < 2 {
			continue
		}
		if n, err := strconv.Atoi(fields[1]); err == nil && n < manyTasks { // "unlimited" is no number
			return []Finding{{Level: Weaker, What: fmt.Sprintf("deputyd may have at most %d open files, one for each live task and connection", n),
				Remedy: "LimitNOFILE=1048576 in the unit, or ulimit -Hn before deputy up"}}
		}
	}
	return nil
}

// monitor gives the monitor's PID by the journal's lock, or "": who may not read
// it may not look at the monitor either.
func (m *Machine) monitor() string {
	text, err := os.ReadFile(filepath.Join(m.journal(), "lock"))
	if err != nil || m.health == nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
