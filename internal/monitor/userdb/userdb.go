// Package userdb says whom a name stands for at this moment: by /etc/passwd and
// /etc/group, which are looked at for every decision, and for names that these
// lack by what getent and id have said of them within the last minutes.
//
//	a decision ── View ──▶ Database ── stat, and read if changed ──▶ /etc/passwd, /etc/group
//	                          ▲
//	beside the loop ── Ask ───┘ ── deputyd --role names ──▶ getent, id      without privilege
//
// A name that a policy has must keep the number that it had when the policy was
// loaded. One that is gone, or now stands for another number, stands for nobody.
package userdb

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// User is a line of the user database.
type User struct {
	Name        string
	UID, GID    uint32
	Groups      []uint32 // supplementary, GID included; sorted
	SID         string   // on Windows, instead of the numbers
	Home, Shell string
}

// NoID is the number of nobody: to the kernel it means "no id".
const NoID = 1<<32 - 1

// Nobody is what a user reads as whose number cannot be told, and the group of
// those that have none.
const Nobody = 65534

// Words are the users and groups that a policy has: names, and of users that a
// task is to run as also numbers ("uid:N"). Each has the number that it had at
// the load, or NoID if it was not known then: it gets the first that is known.
type Words struct{ Users, Groups map[string]uint32 }

// NewWords has none.
func NewWords() Words { return Words{map[string]uint32{}, map[string]uint32{}} }

func (w Words) clone() Words { return Words{maps.Clone(w.Users), maps.Clone(w.Groups)} }

// View is the user database at one moment, as far as the words of the policy in
// force go. It never changes. The zero View knows nobody.
type View struct {
	users  map[string]*User  // words that hold
	groups map[string]uint32 // words that hold
	gone   map[word]lack     // words that do not, and why
	ranges ranges            // numbers that others may take
}

// word is a name of a policy.
type word struct {
	group bool
	text  string
}

// lack is why a word stands for nobody.
type lack struct {
	reason, remedy string
	unknown        bool // it is only not known yet, or not any more
	unasked        bool // because the name services are still to be asked
}

// UID is the number of a caller by its name or "uid:N"; false: nobody has it now,
// or another than when the policy was loaded, or one that others may take.
func (v *View) UID(text string) (uint32, bool) {
	if uid, ok := NumberOf(text); ok {
		return uid, true
	}
	if u := v.users[text]; u != nil && v.ranges.find(u.UID) == nil {
		return u.UID, true
	}
	return 0, false
}

// GID is the same of a group: a name, a number or "gid:N".
func (v *View) GID(text string) (uint32, bool) {
	if number, ok := strings.CutPrefix(text, "gid:"); ok || strings.Trim(text, "0123456789") == "" {
		return number32(number)
	}
	gid, ok := v.groups[text]
	return gid, ok
}

// User is whom a task can run as; nil: WhyNot says why not.
func (v *View) User(text string) *User { return v.users[text] }

// WhyNot says why a user's word stands for nobody, and what to do: "reason;
// remedy".
func (v *View) WhyNot(text string) string { return v.whyNot(word{false, text}) }

// WhyNotGroup is the same of a group.
func (v *View) WhyNotGroup(text string) string { return v.whyNot(word{true, text}) }

// Unknown says whether a user's word stands for nobody only because the name
// services have not answered.
func (v *View) Unknown(text string) bool { return v.gone[word{false, text}].unknown }

func (v *View) whyNot(w word) string {
	l, ok := v.gone[w]
	if !ok {
		l = lack{reason: fmt.Sprintf("%s was not looked up", w), remedy: "reload the configuration"}
	}
	return l.reason + "; " + l.remedy
}

func (w word) String() string {
	if w.group {
		return fmt.Sprintf("the group %q", w.text)
	}
	return fmt.Sprintf("the user %q", w.text)
}

func number32(text string) (uint32, bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err == nil && n != NoID
}

// Word is how a policy names the user: by name, or "uid:N" where it has none.
func (u *User) Word() string {
	if !u.Named() {
		return numbered(u.UID)
	}
	return u.Name
}

// Named says whether the user database has more of a user than its number.
func (u *User) Named() bool { return u.Name != decimal(u.UID) }
