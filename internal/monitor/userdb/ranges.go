package userdb

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// In a user namespace whoever owns a range of numbers in /etc/subuid can become
// each of them, and keeps its supplementary groups (user_namespaces(7)). So such a
// number is nobody by itself: no name and no group counts of it, and what it may
// have of anything is its owner's.

// span is numbers that somebody may take in a user namespace.
type span struct {
	first, last uint32
	owner       string // a name, or a number as text; "": several have them
}

// parseRanges reads subuid(5): "owner:first:number", of which a line that is no
// entry is passed over. What it gives is sorted, and no two overlap.
func parseRanges(text []byte) []span {
	var all []span
	for line := range bytes.Lines(text) {
		members := fields(line, 3)
		if members == nil {
			continue
		}
		first, err := strconv.ParseUint(members[1], 10, 32)
		number, wrong := strconv.ParseUint(members[2], 10, 64)
		if err != nil || wrong != nil || number == 0 {
			continue
		}
		last := first + min(number-1, math.MaxUint32-first)
		all = append(all, span{uint32(first), uint32(last), members[0]})
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	disjoint := all[:0]
	for _, s := range all {
		before := len(disjoint) - 1
		if before < 0 || s.first > disjoint[before].last {
			disjoint = append(disjoint, s)
			continue
		}
		if d := &disjoint[before]; d.owner == s.owner {
			d.last = max(d.last, s.last)
		} else {
			d.last, d.owner = max(d.last, s.last), ""
		}
	}
	return disjoint
}

// ranges are the spans with their owners' numbers, as far as these are known.
type ranges []owned

type owned struct {
	span
	uid   uint32 // of the owner
	known bool
}

// find gives the span that a number lies in; nil: none, or it is the owner's own.
func (r ranges) find(uid uint32) *owned {
	i, found := slices.BinarySearchFunc(r, uid, func(o owned, uid uint32) int {
		switch {
		case o.last < uid:
			return -1
		case o.first > uid:
			return 1
		}
		return 0
	})
	if !found || r[i].known && r[i].uid == uid {
		return nil
	}
	return &r[i]
}

// account says whose limits count for a number: its range's owner's, or, where
// nobody knows that one's number, the first of the range.
func (r ranges) account(uid uint32) uint32 {
	for range 4 { // an owner may lie in another's range
		o := r.find(uid)
		switch {
		case o == nil:
			return uid
		case !o.known:
			return o.first
		}
		uid = o.uid
	}
	return uid
}

func (o *owned) String() string {
	switch {
	case o.owner == "":
		return "several users'"
	case o.owner == decimal(o.uid) && o.known:
		return "uid " + o.owner + "'s"
	}
	return o.owner + "'s"
}

// Account says whose limits count for a number.
func (v *View) Account(uid uint32) uint32 { return v.ranges.account(uid) }

// Shares says whether the limits of a number count for others, too.
func (v *View) Shares(uid uint32) bool {
	return slices.ContainsFunc(v.ranges, func(o owned) bool { return o.known && o.uid == uid || o.first == uid })
}

// resolve finds the numbers of the owners.
func (d *Database) resolve() ranges {
	all := make(ranges, len(d.files.ranges))
	for i, s := range d.files.ranges {
		all[i] = owned{span: s}
		if uid, isNumber := number32(s.owner); isNumber {
			all[i].uid, all[i].known = uid, true
		} else if u := d.files.users[s.owner]; u != nil {
			all[i].uid, all[i].known = u.UID, true
		} else if a := d.known[Question{passwd, s.owner}]; a.user != nil {
			all[i].uid, all[i].known = a.user.UID, true
		}
	}
	return all
}

// Standing is what a number proves besides itself.
type Standing struct {
	Why     string // why no name and no group of it counts; "": they do
	Pending bool   // that is only not known yet: the name services are asked
}

// Standing says whether names and groups of a number count.
func (d *Database) Standing(uid uint32) Standing {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.current()
	if o := d.view.ranges.find(uid); o != nil {
		_, isNumber := number32(o.owner)
		d.wonder(Question{passwd, o.owner}, !isNumber && d.files.users[o.owner] == nil)
		return Standing{Why: fmt.Sprintf("uid %d lies in a range of %s (/etc/subuid): neither a name nor a group of its counts", uid, o)}
	}
	u, known := d.caller(uid)
	switch {
	case d.files.broken != "":
		return Standing{Why: fmt.Sprintf("whether uid %d has a name is not known: %s", uid, d.files.broken)}
	case u != nil:
		return Standing{}
	case !known:
		return Standing{fmt.Sprintf("whether uid %d has a name is not known yet: no group of its counts until then", uid), true}
	}
	return Standing{Why: fmt.Sprintf("uid %d has no name: no group of its counts", uid)}
}

// Borrowed says why a name grants nothing though there is a user of that name: its
// number is in somebody's range.
func (r *Reading) Borrowed(u *User) (reason, remedy string) {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	o := r.d.resolve().find(u.UID)
	if o == nil || !u.Named() {
		return "", ""
	}
	who := o.owner
	if _, isNumber := number32(who); isNumber {
		who = "uid " + who
	}
	return fmt.Sprintf("the user %q has uid %d, which %s may take in a user namespace (/etc/subuid)", u.Name, u.UID, cmp.Or(who, "more than one user")),
		fmt.Sprintf("correct /etc/subuid, or name the number: \"uid:%d\"", u.UID)
}
