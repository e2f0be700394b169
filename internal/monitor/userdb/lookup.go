package userdb

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// user finds a name, or a number written "uid:N", in the files, or in what the
// name services have said.
func (d *Database) user(text string) (*User, lack) {
	uid, isNumber := NumberOf(text)
	q, _ := d.questionOf(text)
	if d.files.broken != "" { // without the groups a user is not known, either
		return nil, lack{reason: fmt.Sprintf("whether there is a user %q is not known: %s", q.Name, d.files.broken), remedy: "mend that", unknown: true}
	}
	local := d.files.users[text]
	if isNumber {
		local = d.files.byUID[uid]
	}
	a, answered := d.known[q]
	switch {
	case local != nil:
		return local, lack{}
	case a.user != nil:
		return d.sound(a.user)
	case !answered && d.o.Ask != nil && q.askable():
		return nil, d.silent(q)
	case isNumber:
		return bare(uid), lack{}
	}
	return nil, lack{reason: fmt.Sprintf("there is no user %q", text), remedy: "create it (useradd --system " + text + ") or correct the name"}
}

// questionOf is what the name services are asked for a user's word; local says
// that they need not be.
func (d *Database) questionOf(text string) (q Question, local bool) {
	if uid, isNumber := NumberOf(text); isNumber {
		return Question{passwd, decimal(uid)}, d.files.byUID[uid] != nil
	}
	return Question{passwd, text}, d.files.users[text] != nil
}

// NumberOf is the number of a word that is one: "uid:N".
func NumberOf(text string) (uint32, bool) {
	number, ok := strings.CutPrefix(text, "uid:")
	uid, sound := number32(number)
	return uid, ok && sound
}

func decimal(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

func numbered(uid uint32) string { return "uid:" + decimal(uid) }

// bare is a user of whom there is only the number: it has no group of its own.
func bare(uid uint32) *User {
	return &User{Name: decimal(uid), UID: uid, GID: Nobody, Groups: []uint32{Nobody}, Home: "/", Shell: "/bin/sh"}
}

// sound refuses a user of the name services who is in root's group: they are not
// to give anybody that.
func (d *Database) sound(u *User) (*User, lack) {
	if slices.Contains(u.Groups, 0) {
		return nil, lack{reason: fmt.Sprintf("the user %q, whom /etc/passwd lacks, is in root's group, 0", u.Name), remedy: "take it out of that group"}
	}
	return u, lack{}
}

func (d *Database) gid(text string) (uint32, bool, lack) {
	if d.files.broken != "" {
		return 0, false, lack{reason: fmt.Sprintf("whether there is a group %q is not known: %s", text, d.files.broken), remedy: "mend that", unknown: true}
	}
	q := Question{group, text}
	local, isLocal := d.files.groups[text]
	a, answered := d.known[q]
	switch {
	case isLocal:
		return local, true, lack{}
	case a.isGroup:
		return a.gid, true, lack{}
	case !answered && d.o.Ask != nil && q.askable():
		return 0, false, d.silent(q)
	}
	return 0, false, lack{reason: fmt.Sprintf("there is no group %q", text), remedy: "create it (groupadd --system " + text + ") or correct the name"}
}

// silent is what is wrong with a name of which the name services have said
// nothing for too long.
func (d *Database) silent(q Question) lack {
	why := cmp.Or(d.tried[q].why, d.trouble)
	if why == "" {
		return lack{reason: fmt.Sprintf("whether there is a %s %q is not known: the name services have not answered yet", q.what(), q.Name),
			remedy: "ask again in a moment", unknown: true, unasked: true}
	}
	return lack{reason: fmt.Sprintf("whether there is a %s %q is not known: %s", q.what(), q.Name, why), remedy: "see what `getent " + string(q.Kind) + " " + q.Name + "` says", unknown: true}
}

func (q Question) what() string {
	if q.Kind == group {
		return "group"
	}
	return "user"
}
