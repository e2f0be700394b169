//go:build unix

package callers

import (
	"fmt"
	"strings"

	"deputy"
	"deputy/internal/monitor/policy"
	"deputy/internal/monitor/userdb"
)

// Name is for messages alone: one that is not known, or not yet, is "".
func (k *Callers) Name(c deputy.Caller) string {
	uid, ok := c.UID()
	if !ok {
		return ""
	}
	return k.Users.Name(uid)
}

// Find makes the identity of "uid:33", "www-data" or "key:panel", with
// the groups that the user database gives it. It may have to ask the name
// services, and is not for the loop.
func (k *Callers) Find(name string) (policy.Identity, error) {
	if strings.HasPrefix(name, "key:") {
		return policy.Identity{Caller: deputy.Caller(name)}, nil
	}
	u, reason, _ := k.Users.Find(name)
	uid, isNumber := deputy.Caller(name).UID()
	switch {
	case u == nil && isNumber:
		id := policy.Identity{Caller: deputy.UIDCaller(uid), UID: uid}
		k.Reduce(&id)
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
	k.Reduce(&id)
	return id, nil
}
