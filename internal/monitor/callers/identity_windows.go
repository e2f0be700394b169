package callers

import (
	"fmt"
	"os/user"
	"strings"

	"deputy"
	"deputy/internal/monitor/policy"
)

// Name is for messages alone: one that is not known is "".
func (k *Callers) Name(c deputy.Caller) string {
	sid, ok := c.SID()
	if !ok {
		return ""
	}
	u, err := user.LookupId(sid)
	if err != nil {
		return ""
	}
	return u.Username
}

// Find makes the identity of "sid:S-1-5-…", an account's name or
// "key:panel", with the groups that this machine knows of.
func (k *Callers) Find(name string) (policy.Identity, error) {
	if strings.HasPrefix(name, "key:") {
		return policy.Identity{Caller: deputy.Caller(name)}, nil
	}
	sid, isSID := deputy.Caller(name).SID()
	find := user.Lookup
	if isSID {
		name, find = sid, user.LookupId
	}
	u, err := find(name)
	switch {
	case err != nil && isSID:
		return policy.Identity{Caller: deputy.SIDCaller(sid)}, nil // it has no name and no groups
	case err != nil:
		return policy.Identity{}, fmt.Errorf("cannot ask as %q: there is no such account; give an account's name, sid:S-1-… or key:NAME", name)
	}
	groups, _ := u.GroupIds() // fewer groups, never more
	return policy.Identity{Caller: deputy.SIDCaller(u.Uid), Name: u.Username, GroupSIDs: groups}, nil
}
