package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// setting is what the unit must say.
type setting struct {
	name    string
	right   func(value string) bool
	wanted  string // as it stands in the unit
	level   Level
	follows string
}

func settings() []setting {
	is := func(want string) func(string) bool { return func(v string) bool { return v == want } }
	return []setting{
		{"KillMode", is("process"), "process", Wrong, "systemd kills the tasks when deputyd ends or dies; they are to outlive it"},
		{"Delegate", is("yes"), "yes", Weaker, "systemd may move or remove the cgroups of tasks: " + nothing},
		{"NotifyAccess", is("main"), "main", Weaker, "with \"all\" any task could tell systemd that deputy is ready, or stopping"},
		{"FileDescriptorStoreMax", func(v string) bool { n, _ := strconv.Atoi(v); return n > 0 }, "512", Weaker,
			exact + ": of tasks that end while keeper and monitor are both dead it is \"unknown\""},
		{"TasksMax", is("infinity"), "infinity", Weaker, "beyond so many processes of all tasks together, none is started"},
	}
}

// unit holds the service's unit against what the promises need.
func unit(m *Machine, ctx context.Context) []Finding {
	if !m.Installed {
		return nil // a `deputy up` is nobody's service
	}
	if _, err := os.Stat(filepath.Join(m.Root, "/run/systemd/system")); err != nil {
		return []Finding{{Level: Weaker, What: "this machine was not started by systemd", Remedy: "have the init system start deputyd, and start it again when it ends"}}
	}
	const install = "deputy service install"
	text, err := m.Query(ctx, "systemctl", "show", "deputy.service", "--property=LoadState,ActiveState,KillMode,Delegate,NotifyAccess,FileDescriptorStoreMax,TasksMax")
	if err != nil {
		return unseen(fmt.Sprintf("cannot ask systemd about deputy.service: %v", err), "systemctl show deputy.service")
	}
	values := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = value
	}
	if values["LoadState"] != "loaded" {
		return []Finding{{Level: Weaker, What: "systemd has no usable deputy.service (" + values["LoadState"] + ")", Follows: "deputy is not started with the machine, nor again when it ends", Remedy: install}}
	}
	var list []Finding
	for _, s := range settings() {
		if value, known := values[s.name]; known && !s.right(value) {
			list = append(list, Finding{Level: s.level, What: fmt.Sprintf("deputy.service has %s=%s", s.name, value), Follows: s.follows,
				Remedy: fmt.Sprintf("systemctl edit deputy: under [Service] write %s=%s; then systemctl restart deputy", s.name, s.wanted)})
		}
	}
	if list == nil {
		list = ok("deputy.service is as it must be")
	}
	return list
}
