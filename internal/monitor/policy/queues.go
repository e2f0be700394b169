package policy

import (
	"slices"

	"deputy/internal/monitor/manifest"
)

// Queues gives the queues that id may know of, each with the actions that stand in it:
// all to auditors and operators, to others those of the actions that they may use.
func (p *Policy) Queues(id Identity) map[string][]string {
	p = p.now()
	s := p.settings(id.Caller)
	all := s.Auditor || s.Operator
	known := map[string][]string{}
	if all {
		for name := range p.set.Queues {
			known[name] = nil
		}
	}
	p.each(func(a *manifest.Action) {
		if a.Queue != "" && (all || p.grants(id, a)) {
			known[a.Queue] = append(known[a.Queue], a.Module+"/"+a.Name)
		}
	})
	for _, actions := range known {
		slices.Sort(actions)
	}
	return known
}
