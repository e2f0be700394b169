//go:build unix

package birth

import (
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/process"
	"deputy/internal/monitor/site"
)

// credential changes the user wherever deputyd may; as an ordinary user it is
// the same one anyway.
func credential(a *manifest.Action) *process.Credential {
	if !site.Root() {
		return nil
	}
	groups := a.GIDs
	if groups == nil {
		groups = a.User.Groups
	}
	return &process.Credential{UID: a.User.UID, GID: a.User.GID, Groups: groups}
}
