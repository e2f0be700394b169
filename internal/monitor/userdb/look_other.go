//go:build !linux

package userdb

import (
	"bytes"
	"os"
	"os/user"
	"strings"
)

// file is for Linux, where the local files are read.
type file struct{ path string }

// look: here names are looked up at the load alone, see lookUp, and keep the
// numbers that they had then.
func (d *Database) look() bool {
	first := d.files == nil
	if first {
		d.files = parseFiles(nil, nil, nil)
	}
	return first
}

// lookUp has a user as the system knows it now.
func (d *Database) lookUp(text string) {
	find := user.Lookup
	number, isNumber := strings.CutPrefix(text, "uid:")
	if isNumber {
		find = user.LookupId
	}
	delete(d.files.users, text)
	found, err := find(number)
	if err != nil {
		return
	}
	uid, ok := number32(found.Uid)
	gid, sound := number32(found.Gid)
	texts, err := found.GroupIds()
	if !ok || !sound || err != nil {
		return // without its groups it is not known
	}
	u := &User{Name: found.Username, UID: uid, GID: gid, Groups: []uint32{gid}, Home: homeOf(found.HomeDir), Shell: shellNamed(found.Username)}
	for _, text := range texts {
		if gid, ok := number32(text); ok {
			u.Groups = append(u.Groups, gid)
		}
	}
	u.Groups = sortedSet(u.Groups)
	d.files.byUID[uid] = u
	if !isNumber {
		d.files.users[text] = u
	}
}

// shellNamed is what /etc/passwd says: os/user does not tell it.
func shellNamed(name string) string {
	text, _ := os.ReadFile("/etc/passwd")
	for line := range bytes.Lines(text) {
		if members := fields(line, 7); members != nil && members[0] == name {
			return shellOf(members[6])
		}
	}
	return "/bin/sh"
}

func (d *Database) lookUpGroup(name string) {
	delete(d.files.groups, name)
	if g, err := user.LookupGroup(name); err == nil {
		if gid, ok := number32(g.Gid); ok {
			d.files.groups[name] = gid
		}
	}
}
