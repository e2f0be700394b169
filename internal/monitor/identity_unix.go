//go:build unix

package monitor

import (
	"fmt"
	"strings"

	"deputy"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/userdb"
)

// nameOf is for messages alone: one that is not known, or not yet, is "".
func (m *Monitor) nameOf(c deputy.Caller) string {
	uid, ok := c.UID()
	if !ok {
		return ""
	}
	return m.users.Name(uid)
}

// identityOf makes the identity of "uid:33", "www-data" or "key:panel", with
// the groups that the user database gives it. It may have to ask the name
// services, and is not for the loop.
func (m *Monitor) identityOf(name string) (policy.Identity, error) {
	if strings.HasPrefix(name, "key:") {
		return policy.Identity{Caller: deputy.Caller(name)}, nil
	}
	u, reason, _ := m.users.Find(name)
	uid, isNumber := deputy.Caller(name).UID()
	switch {
	case u == nil && isNumber:
		id := policy.Identity{Caller: deputy.UIDCaller(uid), UID: uid}
		m.reduce(&id)
		return id, nil
	case u == nil:
		return policy.Identity{}, fmt.Errorf("cannot ask as %q: %s; give a user's name, uid:N or key:NAME", name, reason)
	case u.UID == userdb.Nobody:
		return policy.Identity{}, fmt.Errorf("cannot ask as %q: nobody can prove to be that user", name)
	}
	id := policy.Identity{Caller: deputy.UIDCaller(u.UID), UID: u.UID, Name: u.Name, GIDs: u.Groups}
	if !u.Named() { // it has no name and no groups
		id.Name, id.GIDs = "", nil
	}
	m.reduce(&id)
	return id, nil
}
