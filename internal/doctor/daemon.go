package doctor

import (
	"context"
	"fmt"

	"deputy"
)

// daemon asks the one that runs.
func daemon(m *Machine, _ context.Context) []Finding {
	if m.health == nil {
		return []Finding{{Level: Wrong, What: fmt.Sprintf("deputy does not answer: %v", m.down), Remedy: m.start() + "; if it is running, its log says why it does not answer"}}
	}
	list := ok(fmt.Sprintf("deputy %s answers", m.health.Version))
	if m.health.Version != deputy.Version {
		list = append(list, Finding{Level: Weaker, Follows: "a daemon that was not restarted has the faults of its version",
			What:   fmt.Sprintf("the daemon is version %s, this command %s", m.health.Version, deputy.Version),
			Remedy: "install all programs of one release, and restart the daemon: its tasks go on"})
	}
	if m.health.Weakness != "" && m.health.Proof == "cgroup" { // without cgroups: see cgroupTree
		list = append(list, Finding{Level: Weaker, Follows: "the daemon itself says that it keeps a promise less well", What: m.health.Weakness,
			Remedy: "change what it names in " + m.Config + ", or on this machine, and restart the daemon"})
	}
	if m.health.Draining {
		list = append(list, Finding{Level: Weaker, Follows: "what would start a task is refused", What: "deputy is draining: it takes nothing new", Remedy: "deputy drain --off"})
	}
	return list
}
