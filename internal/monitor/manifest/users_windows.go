package manifest

import (
	"strings"

	"golang.org/x/sys/windows"
)

// user looks an account or "sid:S-1-…" up. The name as Windows writes it has
// the machine or the domain in front.
func (l *loader) user(name string) (*User, error) {
	sid, err := account(name)
	if err != nil {
		return nil, err
	}
	u := &User{Name: name, SID: sid.String()}
	if short, domain, _, err := sid.LookupAccount(""); err == nil {
		u.Name = strings.TrimPrefix(domain+`\`+short, `\`)
	}
	return u, nil
}

// self is whom deputyd runs as.
func (l *loader) self() (*User, error) {
	u, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return nil, advise("start deputyd again", "cannot tell whom deputyd runs as: %v", err)
	}
	return l.user("sid:" + u.User.Sid.String())
}

// runsAs says whether a task of u can be started: as deputyd's own account, and
// by the system itself as the two that have no password. To take on another one
// its password would be needed.
func (l *loader) runsAs(u *User) error {
	self, err := l.self()
	if err != nil || self.SID == u.SID {
		return err
	}
	if self.SID == systemSID && (u.SID == localServiceSID || u.SID == networkServiceSID) {
		return nil
	}
	return advise(`name `+self.Name+`; the installed service, which runs as SYSTEM, can also become LocalService and NetworkService`,
		"cannot run as user %q: deputy itself runs as %s, and Windows lets nobody become another without a password", u.Name, self.Name)
}

// privileged says whether u may do whatever it likes: it is the system itself.
func privileged(u *User) bool { return u.SID == systemSID }

// taskUser reads whom a task runs as.
func (l *loader) taskUser(d *draft) func(*node) { return into(l, &d.User, l.user) }

// selfWord is for systems whose user database can change under us.
func selfWord(*User) string { return "" }

// The accounts that may do whatever they like.
const (
	systemSID           = "S-1-5-18"
	localServiceSID     = "S-1-5-19"
	networkServiceSID   = "S-1-5-20"
	administratorsSID   = "S-1-5-32-544"
	trustedInstallerSID = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
)

// account finds the SID of an account by its name, or of "sid:S-1-…", which
// need not be known here.
func account(name string) (*windows.SID, error) {
	if text, ok := strings.CutPrefix(name, "sid:"); ok {
		sid, err := windows.StringToSid(text)
		if err != nil {
			return nil, advise(`write "sid:S-1-5-21-…" as whoami /user says it, or the account's name`, "%q is not a security identifier", text)
		}
		return sid, nil
	}
	sid, _, _, err := windows.LookupSID("", name)
	if err != nil {
		return nil, advise("correct the name; see what `net user` and `net localgroup` list", "there is no account %q", name)
	}
	return sid, nil
}

// subject reads who a rule is for.
func subject(name string) (string, error) {
	sid, err := account(name)
	if err != nil {
		return "", err
	}
	switch sid.String() {
	case "S-1-1-0", "S-1-5-7", "S-1-0-0": // everyone, anonymous, nobody
		return "", advise("write an account or a group of its own", "%q proves nobody", name)
	}
	return sid.String(), nil
}

// both makes a reader that keeps names as written and what they resolve to.
func both[T any](l *loader, names *[]string, ids *[]T, resolve func(string) (T, error)) func(*node) {
	return func(n *node) {
		*names = []string{}
		list(l, ids, func(text string) (T, error) {
			*names = append(*names, text)
			return resolve(text)
		})(n)
	}
}

func (l *loader) ruleUsers(r *Rule) func(*node)  { return both(l, &r.Users, &r.SIDs, subject) }
func (l *loader) ruleGroups(r *Rule) func(*node) { return both(l, &r.Groups, &r.GroupSIDs, subject) }

// taskGroups refuses the groups of a task: they are its user's.
func (l *loader) taskGroups(*draft) func(*node) {
	return func(n *node) {
		l.failKey(n, "remove the line", "groups cannot be chosen on Windows: a task has those of its user")
	}
}

// socketGroup refuses the group of a socket: here it is a pipe, open to all
// local users, and the rules say who may what.
func (l *loader) socketGroup(*UnixListen) func(*node) {
	return func(n *node) { l.failKey(n, "remove the line", "a pipe has no group") }
}

func (l *loader) userSettings(n *node) {
	if l.config.SIDs == nil {
		l.config.SIDs = map[string]CallerSettings{}
	}
	for _, c := range l.members(n) {
		sid, err := subject(c.key)
		l.wrongKey(c, err)
		if _, known := l.config.SIDs[sid]; known && err == nil {
			l.failKey(c, "make one table of them", "another table is for this user, too")
		}
		l.config.SIDs[sid] = l.callerSettings(c, false)
	}
}
