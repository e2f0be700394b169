//go:build unix

package monitor

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"

	"deputy"
	"deputy/internal/monitor/policy"
)

// root says whether deputyd may become any user.
func (m *Monitor) root() bool { return os.Geteuid() == 0 }

// selfSID is for Windows.
func selfSID() string { return "" }

// identityOf makes the identity of "uid:33", "www-data" or "key:panel", with
// the groups that the user database gives it.
func (m *Monitor) identityOf(name string) (policy.Identity, error) {
	if strings.HasPrefix(name, "key:") {
		return policy.Identity{Caller: deputy.Caller(name)}, nil
	}
	u, err := user.Lookup(name)
	if uid, ok := deputy.Caller(name).UID(); ok {
		if u, err = user.LookupId(strconv.FormatUint(uint64(uid), 10)); err != nil {
			return policy.Identity{Caller: deputy.UIDCaller(uid), UID: uid}, nil // it has no name and no groups
		}
	}
	if err != nil {
		return policy.Identity{}, fmt.Errorf("cannot ask as %q: there is no such user; give a user's name, uid:N or key:NAME", name)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	id := policy.Identity{Caller: deputy.UIDCaller(uint32(uid)), UID: uint32(uid), Name: u.Username}
	groups, _ := u.GroupIds() // a database that cannot be read gives fewer groups, never more
	for _, text := range groups {
		if gid, err := strconv.ParseUint(text, 10, 32); err == nil {
			id.GIDs = append(id.GIDs, uint32(gid))
		}
	}
	return id, nil
}
