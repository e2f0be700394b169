//go:build unix

package manifest

import (
	"bufio"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// user looks a name, a number or "uid:N" up in the user database.
func (l *loader) user(name string) (*User, error) {
	if u, ok := l.users[name]; ok {
		return u, nil
	}
	number, digits := strings.CutPrefix(name, "uid:")
	_, err := strconv.ParseUint(number, 10, 32)
	find := user.Lookup
	if digits || err == nil {
		find, digits = user.LookupId, true
	}
	found, err := find(number)
	if err != nil {
		remedy := "see what `getent passwd` lists"
		if !digits {
			remedy = "create it (useradd --system " + name + ") or correct the name"
		}
		return nil, advise(remedy, "there is no user %q", name)
	}
	u, err := complete(found)
	if err != nil {
		return nil, advise("see what `id "+found.Username+"` says", "cannot read the groups of user %q: %v", name, err)
	}
	l.users[name] = u
	return u, nil
}

// complete adds what os/user has apart or lacks: the groups and the shell.
func complete(found *user.User) (*User, error) {
	u := &User{Name: found.Username, Home: found.HomeDir, Shell: shell(found.Username)}
	var err error
	if u.UID, err = id(found.Uid); err != nil {
		return nil, err
	}
	if u.GID, err = id(found.Gid); err != nil {
		return nil, err
	}
	texts, err := found.GroupIds()
	if err != nil {
		return nil, err
	}
	for _, text := range append(texts, found.Gid) {
		gid, err := id(text)
		if err != nil {
			return nil, err
		}
		u.Groups = append(u.Groups, gid)
	}
	slices.Sort(u.Groups)
	u.Groups = slices.Compact(u.Groups)
	return u, nil
}

func id(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err
}

// shell is the last member of a user's line in /etc/passwd, see passwd(5): an
// empty one means /bin/sh.
func shell(name string) string {
	const standard = "/bin/sh"
	file, err := os.Open("/etc/passwd")
	if err != nil {
		return standard
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		members := strings.Split(lines.Text(), ":")
		if len(members) == 7 && members[0] == name && members[6] != "" {
			return members[6]
		}
	}
	return standard
}

// uid reads who a rule is for: a user's name, or "uid:N", which need not be in
// the user database.
func (l *loader) uid(name string) (uint32, error) {
	if number, ok := strings.CutPrefix(name, "uid:"); ok {
		return number32(number, name)
	}
	if _, err := id(name); err == nil {
		return 0, advise(`write "uid:`+name+`"`, "%q is a number, not a name", name)
	}
	u, err := l.user(name)
	if err != nil {
		return 0, err
	}
	return number32(strconv.FormatUint(uint64(u.UID), 10), name)
}

// gid reads a group: its name, or "gid:N".
func gid(name string) (uint32, error) {
	if number, ok := strings.CutPrefix(name, "gid:"); ok {
		return number32(number, name)
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, advise("create it (groupadd --system "+name+") or correct the name", "there is no group %q", name)
	}
	return number32(g.Gid, name)
}

// number32 reads an id that can prove somebody: 4294967295 means "no id" to the
// kernel, and 65534 stands for everyone whose id cannot be told.
func number32(text, name string) (uint32, error) {
	n, err := id(text)
	if err != nil || n == 1<<32-1 || n == 65534 {
		return 0, advise(`write a name, "uid:N" or "gid:N" of an account of its own`, "%q proves nobody", name)
	}
	return n, nil
}

// self is whom deputyd runs as.
func (l *loader) self() (*User, error) { return l.user(idText(l.UID)) }

// runsAs says whether a task of u can be started.
func (l *loader) runsAs(u *User) error {
	if !l.Root && u.UID != l.UID && l.UID != 0 {
		return advise("remove the line, or install deputy as root", "cannot run as user %q: deputy itself runs as uid %d", u.Name, l.UID)
	}
	return nil
}

// privileged says whether u may do whatever it likes.
func (u *User) privileged() bool { return u.UID == 0 }

func (l *loader) ruleUsers(r *Rule) func(*node)   { return both(l, &r.Users, &r.UIDs, l.uid) }
func (l *loader) ruleGroups(r *Rule) func(*node)  { return both(l, &r.Groups, &r.GIDs, gid) }
func (l *loader) taskGroups(d *draft) func(*node) { return both(l, &d.Groups, &d.GIDs, gid) }

func (l *loader) socketGroup(u *UnixListen) func(*node) {
	return func(n *node) {
		id := uint32(0)
		into(l, &id, gid)(n)
		u.Group, _ = n.value.(string)
		u.GID = int(id)
	}
}

func (l *loader) userSettings(n *node) {
	for _, c := range l.members(n) {
		uid, err := l.uid(c.key)
		l.wrongKey(c, err)
		if _, known := l.config.Users[uid]; known && err == nil {
			l.failKey(c, "make one table of them", "another table is for this user, too")
		}
		l.config.Users[uid] = l.callerSettings(c, false)
	}
}
