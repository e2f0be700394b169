package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"deputy/internal/monitor/manifest"
)

// policyFiles loads the whole configuration as the daemon would: who could
// change what runs is looked at there, down to each program.
func policyFiles(m *Machine, _ context.Context) []Finding {
	o := manifest.Options{
		ConfigFile: filepath.Join(m.Config, "deputy.toml"), ModuleDirs: m.Modules, AllowDir: filepath.Join(m.Config, "allow.d"),
		KeysDir: m.keys(), Root: m.Installed, UID: uint32(m.Owner), Socket: m.Socket,
	}
	policy, warnings, err := manifest.Load(o)
	var problems *manifest.Problems
	switch {
	case errors.As(err, &problems):
		var list []Finding
		for _, p := range *problems {
			list = append(list, Finding{Level: Wrong, What: place(p.Pos) + p.Message, Remedy: p.Remedy})
		}
		return list
	case err != nil:
		return unseen(fmt.Sprintf("the configuration cannot be read: %v", err), "deputy check")
	}
	m.policy = policy
	list := ok(fmt.Sprintf("%d modules and %d rules in %s are right, and nobody else can change what they run", len(policy.Modules), len(policy.Rules), m.Config))
	for _, module := range slices.Sorted(maps.Keys(policy.Modules)) {
		actions := policy.Modules[module].Actions
		for _, name := range slices.Sorted(maps.Keys(actions)) {
			if a := actions[name]; a.Unusable != "" {
				why, remedy, _ := strings.Cut(a.Unusable, "; ")
				list = append(list, Finding{Level: Wrong, What: fmt.Sprintf("%s: %s/%s is refused: %s", a.Pos, module, name, why),
					Follows: "this action answers 503 cannot_enforce; everything else is served", Remedy: remedy})
			}
		}
	}
	for _, w := range warnings {
		list = append(list, Finding{Level: Weaker, What: w, Remedy: "deputy check"})
	}
	return list
}

// place writes where a problem is: "FILE:LINE:COLUMN: ", or the file alone.
func place(p manifest.Pos) string {
	if p.Line == 0 {
		return p.File + ": "
	}
	return p.String() + ": "
}
