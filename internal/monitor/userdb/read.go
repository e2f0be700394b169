package userdb

import (
	"errors"
	"fmt"
	"strings"
)

// read takes what was said for an answer only if it is one to this question.
func (q Question) read(s Said) (answer, error) {
	var a answer
	var err error
	switch {
	case s.Failed != "":
		return a, errors.New(s.Failed)
	case s.None:
		return a, nil
	case q.Kind == group:
		a.gid, err = readGroup(q.Name, s.Entry)
		a.isGroup = true
	default:
		a.user, err = readUser(q.Name, s)
	}
	if err != nil {
		return answer{}, fmt.Errorf("what the name services say of it is refused: %w", err)
	}
	return a, nil
}

// readGroup reads "name:x:gid:members".
func readGroup(name, line string) (uint32, error) {
	members := fields([]byte(line), 4)
	if members == nil || members[0] != name {
		return 0, fmt.Errorf("%.100q is no line of it", line)
	}
	return readID(members[2])
}

// readUser reads "name:x:uid:gid:gecos:home:shell", and the user's groups.
func readUser(name string, s Said) (*User, error) {
	members := fields([]byte(s.Entry), 7)
	at := 0
	if _, isNumber := number32(name); isNumber {
		at = 2
	}
	if members == nil || members[at] != name || !printable(members[0]) {
		return nil, fmt.Errorf("%.100q is no line of it", s.Entry)
	}
	uid, err := readID(members[2])
	if err != nil {
		return nil, err
	}
	gid, err := readID(members[3])
	if err != nil {
		return nil, err
	}
	u := &User{Name: members[0], UID: uid, GID: gid, Groups: []uint32{gid}, Home: homeOf(members[5]), Shell: shellOf(members[6])}
	for _, text := range strings.Fields(s.Groups) {
		gid, ok := number32(text)
		if !ok {
			return nil, fmt.Errorf("%.40q is no group's number", text)
		}
		u.Groups = append(u.Groups, gid)
	}
	if len(u.Groups) == 1 {
		return nil, errors.New("its groups are not told")
	}
	u.Groups = sortedSet(u.Groups)
	return u, nil
}

// readID reads a number that the name services may give: root and nobody are
// the local files' alone.
func readID(text string) (uint32, error) {
	id, ok := number32(text)
	if !ok || id == 0 || id == Nobody || text != fmt.Sprint(id) {
		return 0, fmt.Errorf("%.40q is not a number that they may give", text)
	}
	return id, nil
}
