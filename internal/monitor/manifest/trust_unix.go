//go:build unix

package manifest

import (
	"os/user"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"deputy/internal/monitor/look"
)

// judge says who else could change what a path leads to, by all that it leads
// through and what lies beneath. That its end was not reached is no fault here.
func (t Trust) judge(path string, s *look.Sight) error {
	if !filepath.IsAbs(path) {
		return advise("write the path from / on", "it is not an absolute path")
	}
	var open []string // folders in which everybody may make names, but change only their own
	for _, steps := range [][]look.Step{s.Steps, s.Beneath} {
		for i := range steps {
			step := &steps[i]
			if step.IsLink() {
				if !t.owner(step.UID) && slices.Contains(open, filepath.Dir(step.Path)) {
					return t.refuse(path, step)
				}
				continue
			}
			writable := step.Mode&0o022 != 0
			shared := writable && step.Folder() && step.Mode&unix.S_ISVTX != 0
			if !t.owner(step.UID) || writable && !shared {
				return t.refuse(path, step)
			}
			if shared {
				open = append(open, step.Path)
			}
		}
	}
	if folder := filepath.Dir(s.At); s.At != "" && slices.Contains(open, folder) {
		return advise("put it where root alone can write", "it is not there, and everyone can make it in %s", folder)
	}
	return nil
}

// unseen says why the end of a path was not reached.
func (t Trust) unseen(s *look.Sight) error {
	switch {
	case s.At == "":
		return nil
	case t.Alike:
		return advise("see what stands there", "%s is not there, or may not be looked at", s.At)
	case s.Errno == unix.ELOOP:
		return advise("correct the link", "cannot follow the link %s", s.At)
	}
	return advise("create it or correct the path", "cannot look at %s: %v", s.At, s.Errno)
}

func (t Trust) owner(uid uint32) bool { return uid == 0 || slices.Contains(t.UIDs, uid) }

// refuse says who else could change what stands at a path, or below it.
func (t Trust) refuse(path string, step *look.Step) error {
	what, at := "it", step.Path
	switch {
	case step.IsLink():
		what = "the link " + at
	case at == filepath.Clean(path):
	case step.Folder():
		what = "its folder " + at
	default:
		what = "what it leads to, " + at + ","
	}
	switch {
	case !t.owner(step.UID):
		name := idText(step.UID)
		if u, err := user.LookupId(name); err == nil {
			name = u.Username
		}
		return advise("chown -h root "+at, "%s belongs to user %s", what, name)
	case step.Mode&0o002 != 0:
		return advise("chmod o-w "+at, "%s is writable by everyone", what)
	}
	return advise("chmod g-w "+at, "%s is writable by group %s", what, groupName(step.GID))
}

func groupName(gid uint32) string {
	g, err := user.LookupGroupId(idText(gid))
	if err != nil {
		return idText(gid)
	}
	return g.Name
}
