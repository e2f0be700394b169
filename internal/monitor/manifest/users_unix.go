//go:build unix

package manifest

import (
	"strconv"
	"strings"

	"deputy/internal/monitor/userdb"
)

// user looks a name, a number or "uid:N" up in the user database. A number need
// not be there.
func (l *loader) user(text string) (*User, error) {
	word, err := userWord(text)
	if err != nil {
		return nil, err
	}
	u, reason, remedy := l.names.User(word)
	if u == nil {
		return nil, advise(remedy, "%s", reason)
	}
	return u, nil
}

// userWord is the text under which the user database knows a user: its name, or
// "uid:N" for every way to write a number.
func userWord(text string) (string, error) {
	number, isNumber := strings.CutPrefix(text, "uid:")
	if !isNumber && strings.Trim(text, "0123456789") != "" {
		return text, canName(text, "a user")
	}
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil || n == userdb.NoID {
		return "", advise(`write a name, or "uid:N"`, "%q is no user's number", text)
	}
	return "uid:" + strconv.FormatUint(n, 10), nil
}

func canName(text, what string) error {
	if !userdb.CanName(text) {
		return advise("correct the name", "%q cannot name %s", text, what)
	}
	return nil
}

// kindOf is users or groups, where a list of either is read.
type kindOf struct {
	what, id string // "user", "uid:"
	find     func(name string) (id uint32, ok bool, reason, remedy string)
}

func (l *loader) ofUsers() kindOf {
	return kindOf{"user", "uid:", func(name string) (uint32, bool, string, string) {
		u, reason, remedy := l.names.User(name)
		if u == nil {
			return userdb.NoID, false, reason, remedy
		}
		if reason, remedy := l.names.Borrowed(u); reason != "" {
			return userdb.NoID, false, reason, remedy
		}
		return u.UID, true, "", ""
	}}
}

func (l *loader) ofGroups() kindOf { return kindOf{"group", "gid:", l.names.Group} }

// read reads one text of such a list: a number, which holds as it is, or a name,
// which holds as long as the user database says what it said. A name that nobody
// has is no mistake: lack says so, and what to do.
func (k kindOf) read(text string) (id uint32, isName bool, lack string, err error) {
	number, isNumber := strings.CutPrefix(text, k.id)
	if isNumber || text != "" && strings.Trim(text, "0123456789") == "" {
		id, err = number32(number, text)
		return id, false, "", err
	}
	if err := canName(text, "a "+k.what); err != nil {
		return 0, true, "", err
	}
	id, ok, reason, remedy := k.find(text)
	if !ok {
		return userdb.NoID, true, reason + "; " + remedy, nil
	}
	_, err = number32(strconv.FormatUint(uint64(id), 10), text)
	return id, true, "", err
}

// listOf makes a reader of a list of users or groups that gives each to take.
// unknown says what follows where nobody has a name.
func (l *loader) listOf(k kindOf, unknown string, take func(text string, id uint32, isName bool)) func(*node) {
	return func(n *node) {
		var texts []string
		list(l, &texts, sameText)(n)
		for i, text := range texts {
			if text == "" && n.children[i].value != "" { // it is no text, and that was said
				continue
			}
			id, isName, lack, err := k.read(text)
			c := n.children[i]
			switch {
			case err != nil:
				l.wrong(c, err)
			case lack != "":
				l.warn(c, "%s: %s", unknown, lack)
			}
			take(text, id, isName)
		}
	}
}

// number32 reads an id that can prove somebody: 4294967295 means "no id" to the
// kernel, and 65534 stands for everyone whose id cannot be told.
func number32(text, name string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == userdb.NoID || n == userdb.Nobody {
		return 0, advise(`write a name, "uid:N" or "gid:N" of an account of its own`, "%q proves nobody", name)
	}
	return uint32(n), nil
}

// self is whom deputyd runs as.
func (l *loader) self() (*User, error) { return l.user(idText(l.UID)) }

func selfWord(u *User) string { return "uid:" + idText(u.UID) }

// runsAs says whether a task of u can be started.
func (l *loader) runsAs(u *User) error {
	if !l.Root && u.UID != l.UID && l.UID != 0 {
		return advise("remove the line, or install deputy as root", "cannot run as user %q: deputy itself runs as uid %d", u.Name, l.UID)
	}
	return nil
}

// privileged says whether u may do whatever it likes.
func privileged(u *User) bool { return u.UID == 0 }

// taskUser reads whom a task runs as. If nobody has that name the action alone is
// refused, until somebody has it.
func (l *loader) taskUser(d *draft) func(*node) {
	return func(n *node) {
		into(l, &d.RunsAs, userWord)(n)
		if d.RunsAs == "" {
			return
		}
		u, reason, remedy := l.names.User(d.RunsAs)
		if u == nil {
			l.warn(n, "what runs as it is refused: %s; %s", reason, remedy)
			u = &User{Name: d.RunsAs, UID: userdb.NoID, GID: userdb.NoID}
		}
		d.User = u
	}
}

func (l *loader) taskGroups(d *draft) func(*node) {
	return func(n *node) {
		d.Groups, d.GIDs = []string{}, []uint32{}
		l.listOf(l.ofGroups(), "what needs it is refused", func(text string, gid uint32, _ bool) {
			d.Groups, d.GIDs = append(d.Groups, text), append(d.GIDs, gid)
		})(n)
	}
}

func (l *loader) ruleUsers(r *Rule) func(*node) {
	return l.ruleList(l.ofUsers(), &r.Users, &r.UIDs, &r.UserNames)
}

func (l *loader) ruleGroups(r *Rule) func(*node) {
	return l.ruleList(l.ofGroups(), &r.Groups, &r.GIDs, &r.GroupNames)
}

func (l *loader) ruleList(k kindOf, texts *[]string, ids *[]uint32, names *[]string) func(*node) {
	return func(n *node) {
		*texts = []string{}
		l.listOf(k, "the rule grants it nothing", func(text string, id uint32, isName bool) {
			*texts = append(*texts, text)
			if isName {
				*names = append(*names, text)
			} else {
				*ids = append(*ids, id)
			}
		})(n)
	}
}

// socketGroup needs a group that is there: the socket is made but once.
func (l *loader) socketGroup(u *UnixListen) func(*node) {
	return func(n *node) {
		into(l, &u.Group, sameText)(n)
		gid, _, lack, err := l.ofGroups().read(u.Group)
		if lack != "" {
			reason, remedy, _ := strings.Cut(lack, "; ")
			err = advise(remedy, "%s", reason)
		}
		if err != nil {
			l.wrong(n, err)
		}
		u.GID = int(gid)
	}
}

func (l *loader) userSettings(n *node) {
	of := map[uint32]bool{}
	for _, c := range l.members(n) {
		uid, isName, lack, err := l.ofUsers().read(c.key)
		l.wrongKey(c, err)
		if lack != "" {
			l.warn(c, "the table is for nobody: %s", lack)
		}
		if of[uid] && err == nil && lack == "" {
			l.failKey(c, "make one table of them", "another table is for this user, too")
		}
		of[uid] = true
		word := c.key
		if !isName {
			word = "uid:" + idText(uid)
		}
		l.config.Users[word] = l.callerSettings(c, false)
	}
}
