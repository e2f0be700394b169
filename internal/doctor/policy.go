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
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/userdb"
)

// policyFiles loads the whole configuration as the daemon would: who could
// change what runs is looked at there, down to each program.
func policyFiles(m *Machine, _ context.Context) []Finding {
	o := manifest.Options{
		ConfigFile: filepath.Join(m.Config, "deputy.toml"), ModuleDirs: m.Modules, AllowDir: filepath.Join(m.Config, "allow.d"),
		KeysDir: m.keys(), Users: userdb.Open(userdb.Options{Ask: userdb.Here()}), Root: m.Installed, UID: uint32(m.Owner), Socket: m.Socket, Look: m.Look,
	}
	set, warnings, err := manifest.Load(o)
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
	m.policy = set
	list := ok(fmt.Sprintf("%d modules and %d rules in %s are right, and nobody else can change what they run", len(set.Modules), len(set.Rules), m.Config))
	list = append(list, refusedAlone(set, o)...)
	for _, w := range warnings {
		list = append(list, Finding{Level: Weaker, What: w, Remedy: "deputy check"})
	}
	return list
}

// refusedAlone lists the actions that this machine cannot do as declared.
func refusedAlone(set *manifest.Policy, o manifest.Options) (list []Finding) {
	o.Users.Adopt(set.Words)
	deciding := policy.New(set, policy.Options{SelfUID: o.UID, Users: o.Users.View})
	for _, module := range slices.Sorted(maps.Keys(set.Modules)) {
		actions := set.Modules[module].Actions
		for _, name := range slices.Sorted(maps.Keys(actions)) {
			if _, why := deciding.Now(actions[name]); why != "" {
				what, remedy, _ := strings.Cut(why, "; ")
				list = append(list, Finding{Level: Wrong, What: fmt.Sprintf("%s: %s/%s is refused: %s", actions[name].Pos, module, name, what),
					Follows: "this action answers 503 cannot_enforce; everything else is served", Remedy: remedy})
			}
		}
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
