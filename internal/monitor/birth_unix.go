//go:build unix

package monitor

import (
	"deputy/internal/monitor/process"
	"deputy/internal/monitor/site"
)

// credential changes the user wherever deputyd may; as an ordinary user it is
// the same one anyway.
func (b *birth) credential() *process.Credential {
	if !site.Root() {
		return nil
	}
	groups := b.action.GIDs
	if groups == nil {
		groups = b.action.User.Groups
	}
	return &process.Credential{UID: b.action.User.UID, GID: b.action.User.GID, Groups: groups}
}
