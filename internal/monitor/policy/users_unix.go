//go:build unix

package policy

import (
	"fmt"
	"slices"

	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/userdb"
)

// Now gives an action with its user and groups as the user database has them at
// this moment; why says why it cannot be started, "reason; remedy". A number
// that has come to somebody else never stands for whom the manifest names.
func (p *Policy) Now(a *manifest.Action) (now *manifest.Action, why string) {
	p = p.now()
	switch {
	case a.Unusable != "":
		return nil, a.Unusable
	case a.Stops != "" || a.RunsAs == "":
		return a, ""
	}
	u := p.view.User(a.RunsAs)
	if u == nil {
		return nil, p.view.WhyNot(a.RunsAs)
	}
	if p.o.SelfUID != 0 && u.UID != p.o.SelfUID {
		return nil, fmt.Sprintf("cannot run as user %q: deputy itself runs as uid %d; install deputy as root", u.Name, p.o.SelfUID)
	}
	is := *a
	is.User = u
	if a.Groups == nil {
		return p.apart(&is)
	}
	is.GIDs = make([]uint32, len(a.Groups))
	for i, name := range a.Groups {
		gid, ok := p.view.GID(name)
		if !ok {
			return nil, p.view.WhyNotGroup(name)
		}
		is.GIDs[i] = gid
	}
	if u.GID == userdb.Nobody && len(is.GIDs) > 0 && slices.Equal(u.Groups, []uint32{userdb.Nobody}) {
		with := *u // a number without an entry has the first of the groups that are declared
		with.GID = is.GIDs[0]
		is.User = &with
	}
	return p.apart(&is)
}

// apart refuses what would share the server's user or group.
func (p *Policy) apart(a *manifest.Action) (*manifest.Action, string) {
	if p.o.SelfUID != 0 {
		return a, ""
	}
	if why := p.set.Config.Server.Shares(a.User, a.GIDs); why != "" {
		return nil, why + "; give its tasks a user and groups of their own"
	}
	return a, ""
}
