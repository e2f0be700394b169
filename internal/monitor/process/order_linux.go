package process

import (
	"encoding/binary"
	"errors"
)

// An order is a launch as the monitor sends it to the forker. Numbers are of 4
// bytes, little endian; strings end with a NUL, which none can hold, and so can be
// used where they lie. In their order:
//
//	flags, slot, uid, gid, number of groups, of files, of argv, of environment
//	groups…, directory, input's under and path, files' under and path…, argv…, environment…
//
// Descriptors go with it: the leaf's, stdout, stderr, the report, and as flags say stdin
// and the memory file that the order itself lies in, where it is too long to be sent.
const (
	orderStdin      = 1 << iota // a descriptor for stdin comes with it
	orderInput                  // input's under and path are to be opened
	orderCredential             // the user is to be changed
	orderElsewhere              // flags alone: the order is in a memory file
)

const (
	orderHead  = 8 * 4
	orderMost  = 96 << 10 // bytes that are sent as one message
	orderFiles = 6        // descriptors at most
)

// encode writes an order.
func (s *Spec) encode(slot int) []byte {
	flags := 0
	if s.Stdin != nil {
		flags |= orderStdin
	}
	if s.Input != (File{}) {
		flags |= orderInput
	}
	var c Credential
	if s.Credential != nil {
		flags |= orderCredential
		c = *s.Credential
	}
	buf := make([]byte, 0, 1024)
	for _, n := range []int{flags, slot, int(c.UID), int(c.GID), len(c.Groups), len(s.Files), len(s.Argv), len(s.Env)} {
		buf = binary.LittleEndian.AppendUint32(buf, uint32(n))
	}
	for _, g := range c.Groups {
		buf = binary.LittleEndian.AppendUint32(buf, g)
	}
	text := func(list ...string) {
		for _, s := range list {
			buf = append(append(buf, s...), 0)
		}
	}
	text(s.dir(), s.Input.Under, s.Input.Path)
	for _, f := range s.Files {
		text(f.Under, f.Path)
	}
	text(s.Argv...)
	text(s.Env...)
	return buf
}

// decode reads an order into l, whose strings then lie in buf.
func (l *launch) decode(buf []byte) (slot int, err error) {
	if len(buf) < orderHead {
		return 0, errors.New("cannot read an order: it is too short")
	}
	var head [8]int
	for i := range head {
		head[i] = int(binary.LittleEndian.Uint32(buf[4*i:]))
	}
	buf = buf[orderHead:]
	flags, slot, groups, files, argc, envc := head[0], head[1], head[4], head[5], head[6], head[7]
	if len(buf) < 4*groups || groups > len(buf) || files > maxFiles || argc < 1 || argc > len(buf) || envc > len(buf) {
		return 0, errors.New("cannot read an order: it is cut")
	}
	l.credential, l.groups = nil, l.groups[:0]
	if flags&orderCredential != 0 {
		l.own.UID, l.own.GID = uint32(head[2]), uint32(head[3])
		l.credential = &l.own
	}
	for range groups {
		l.groups = append(l.groups, binary.LittleEndian.Uint32(buf))
		buf = buf[4:]
	}
	cut := false
	next := func() *byte {
		for i, c := range buf {
			if c == 0 {
				p := &buf[0]
				buf = buf[i+1:]
				return p
			}
		}
		cut = true
		return &l.empty[0]
	}
	l.dir = next()
	under, path := next(), next()
	l.input = file{}
	if flags&orderInput != 0 {
		l.input = l.file(0, under, path)
	}
	l.files = l.files[:0]
	for i := range files {
		l.files = append(l.files, l.file(i+1, next(), next()))
	}
	l.argv, l.envv = l.argv[:0], l.envv[:0]
	for range argc {
		l.argv = append(l.argv, next())
	}
	for range envc {
		l.envv = append(l.envv, next())
	}
	l.argv, l.envv = append(l.argv, nil), append(l.envv, nil)
	if cut {
		return 0, errors.New("cannot read an order: it is cut")
	}
	return slot, nil
}

func (l *launch) file(n int, under, path *byte) file {
	return file{under, path, &l.stats[n]}
}
