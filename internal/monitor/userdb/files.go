package userdb

import (
	"bytes"
	"slices"
	"strings"
)

// files is what /etc/passwd, /etc/group and /etc/subuid say; see passwd(5), group(5).
type files struct {
	users  map[string]*User
	byUID  map[uint32]*User
	groups map[string]uint32
	ranges []span // of /etc/subuid
	broken string // why they cannot be read; "": they can
}

// parseFiles reads lines as the C library does: the first of a name or number
// counts, and a line that is no entry is passed over.
func parseFiles(passwd, group, subuid []byte) *files {
	f := &files{users: map[string]*User{}, byUID: map[uint32]*User{}, groups: map[string]uint32{}, ranges: parseRanges(subuid)}
	memberOf := map[string][]uint32{}
	for line := range bytes.Lines(group) {
		members := fields(line, 4)
		if members == nil {
			continue
		}
		gid, ok := number32(members[2])
		if !ok {
			continue
		}
		if _, again := f.groups[members[0]]; !again {
			f.groups[members[0]] = gid
		}
		for name := range strings.SplitSeq(members[3], ",") {
			if name = strings.TrimSpace(name); name != "" {
				memberOf[name] = append(memberOf[name], gid)
			}
		}
	}
	for line := range bytes.Lines(passwd) {
		members := fields(line, 7)
		if members == nil {
			continue
		}
		uid, ok := number32(members[2])
		gid, sound := number32(members[3])
		if !ok || !sound {
			continue
		}
		u := &User{Name: members[0], UID: uid, GID: gid, Home: homeOf(members[5]), Shell: shellOf(members[6])}
		u.Groups = sortedSet(append(memberOf[u.Name], gid))
		if f.users[u.Name] == nil {
			f.users[u.Name] = u
		}
		if f.byUID[uid] == nil {
			f.byUID[uid] = u
		}
	}
	return f
}

// fields are the members of a line; nil if it is no entry: another number of
// them, a comment, or an order to ask NIS.
func fields(line []byte, number int) []string {
	members := strings.Split(strings.TrimRight(string(line), "\n"), ":")
	if len(members) != number || members[0] == "" || strings.ContainsAny(members[0][:1], "#+-") {
		return nil
	}
	return members
}

func sortedSet(list []uint32) []uint32 {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// homeOf is a user's home. An empty one means /, as for login(1); one that is no
// path at all would lead nowhere.
func homeOf(text string) string {
	if !strings.HasPrefix(text, "/") || !printable(text) {
		return "/"
	}
	return text
}

// shellOf is the SHELL of a user's tasks. An empty one means /bin/sh, see
// passwd(5); and so does one that only keeps people from logging in: script(1)
// and ssh's ProxyCommand run what SHELL names.
func shellOf(text string) string {
	if !strings.HasPrefix(text, "/") || !printable(text) {
		return "/bin/sh"
	}
	switch text[strings.LastIndexByte(text, '/')+1:] {
	case "nologin", "false":
		return "/bin/sh"
	}
	return text
}

// printable says whether a text is one line without control characters.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f || r == 0xfffd })
}
