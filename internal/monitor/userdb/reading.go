package userdb

import (
	"fmt"
	"slices"
	"time"
)

// Reading is what one load of a policy finds out. It asks nobody: what is not
// known at once is known after Await, or later, or never.
type Reading struct {
	d       *Database
	Words   Words // what was looked up, and the numbers
	began   time.Duration
	unknown []Question // what the name services have not said since then
}

// Read begins a load.
func (d *Database) Read() *Reading {
	return &Reading{d: d, Words: NewWords(), began: d.o.Now()}
}

// User looks a name up, or a number written "uid:N"; nil: the reason and the remedy say
// why not.
func (r *Reading) User(text string) (u *User, reason, remedy string) {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	r.d.look()
	r.d.lookUp(text)
	u, missing := r.d.user(text)
	if q, local := r.d.questionOf(text); !local {
		r.note(q)
	}
	if u == nil {
		r.Words.Users[text] = NoID
		return nil, missing.reason, missing.remedy
	}
	r.Words.Users[text] = u.UID
	return u, "", ""
}

// Group looks a group's name up.
func (r *Reading) Group(text string) (gid uint32, ok bool, reason, remedy string) {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	r.d.look()
	r.d.lookUpGroup(text)
	gid, ok, missing := r.d.gid(text)
	if _, local := r.d.files.groups[text]; !local {
		r.note(Question{group, text})
	}
	if !ok {
		r.Words.Groups[text] = NoID
		return 0, false, missing.reason, missing.remedy
	}
	r.Words.Groups[text] = gid
	return gid, true, "", ""
}

func (r *Reading) note(q Question) {
	if a, answered := r.d.known[q]; (!answered || a.at < r.began) && r.d.o.Ask != nil && q.askable() && !slices.Contains(r.unknown, q) {
		r.unknown = append(r.unknown, q)
	}
}

// Await asks the name services, for a while, for what only they know, and says
// whether there is another answer to read than before.
func (r *Reading) Await() bool {
	if len(r.unknown) == 0 {
		return false
	}
	_ = r.d.ask(r.unknown, loadTime) // why something is not known stands in each lack
	return true
}

// Find looks one name up, and asks the name services for it if the files lack it.
func (d *Database) Find(text string) (u *User, reason, remedy string) {
	r := d.Read()
	if u, reason, remedy = r.User(text); u == nil && r.Await() {
		u, reason, remedy = d.Read().User(text)
	}
	return u, reason, remedy
}

// Lost says why a user no longer has the number that it had; "" if it has, and
// also while that is not known.
func (d *Database) Lost(text string, uid uint32) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.look()
	u, missing := d.user(text)
	switch {
	case u == nil && (!missing.unknown || missing.unasked): // the local files have just lost it
		return missing.reason + "; " + missing.remedy
	case u != nil && u.UID != uid:
		return fmt.Sprintf("the user %q has uid %d now, and had %d", text, u.UID, uid)
	}
	return ""
}
