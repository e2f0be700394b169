//go:build unix

package manifest

import (
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links the kernel follows in one path, see
// path_resolution(7).
const maxLinks = 40

// walk goes down a path from /, a name at a time, into links as the kernel does.
func (t Trust) walk(path string, sound map[string]bool) error {
	if !filepath.IsAbs(path) {
		return advise("write the path from / on", "it is not an absolute path")
	}
	at, rest, links := "", "/"+path, 0
	for open := false; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		next := at + "/" + name
		switch {
		case name == "" && at == "":
			next = "/"
		case name == "" || name == ".":
			continue
		case name == "..":
			at = at[:max(strings.LastIndexByte(at, '/'), 0)]
			open = sound["/"+strings.TrimPrefix(at, "/")]
			continue
		}
		if known, ok := sound[next]; ok {
			at, open = strings.TrimSuffix(next, "/"), known
			continue
		}
		var st unix.Stat_t
		if err := unix.Lstat(next, &st); err != nil {
			return advise("create it or correct the path", "cannot look at %s: %v", next, err)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			if open && !t.owner(st.Uid) {
				return t.refuse(path, next, &st)
			}
			target := make([]byte, unix.PathMax)
			n, err := unix.Readlink(next, target)
			if links++; err != nil || links > maxLinks {
				return advise("correct the link", "cannot follow the link %s", next)
			}
			if rest = string(target[:n]) + "/" + rest; rest[0] == '/' {
				at, open = "", false
			}
			continue
		}
		folder := st.Mode&unix.S_IFMT == unix.S_IFDIR
		open = folder && st.Mode&unix.S_ISVTX != 0 && st.Mode&0o022 != 0
		if !t.owner(st.Uid) || st.Mode&0o022 != 0 && !open {
			return t.refuse(path, next, &st)
		}
		at = strings.TrimSuffix(next, "/")
		if folder {
			sound[next] = open
		}
	}
	return nil
}

func (t Trust) owner(uid uint32) bool { return uid == 0 || slices.Contains(t.UIDs, uid) }

// refuse says who else could change what stands at a path, or below it.
func (t Trust) refuse(path, at string, st *unix.Stat_t) error {
	what := "it"
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if at != filepath.Clean(path) {
			what = "its folder " + at
		}
	case unix.S_IFLNK:
		what = "the link " + at
	default:
		if at != filepath.Clean(path) {
			what = "what it leads to, " + at + ","
		}
	}
	switch {
	case !t.owner(st.Uid):
		name := idText(st.Uid)
		if u, err := user.LookupId(name); err == nil {
			name = u.Username
		}
		return advise("chown -h root "+at, "%s belongs to user %s", what, name)
	case st.Mode&0o002 != 0:
		return advise("chmod o-w "+at, "%s is writable by everyone", what)
	}
	return advise("chmod g-w "+at, "%s is writable by group %s", what, groupName(st.Gid))
}

func groupName(gid uint32) string {
	g, err := user.LookupGroupId(idText(gid))
	if err != nil {
		return idText(gid)
	}
	return g.Name
}
