// Package look says what stands at a path. The path may lead to a file system
// that never answers (of a network that has gone, or of a user who wants it so),
// and who asks must not wait for it:
//
//	Eyes ─┬─ what the kernel has in memory: openat2(2) with RESOLVE_CACHED, which never waits
//	      └─ the rest: a looker, asked over a socket, with a deadline
//
// A looker is `deputyd --role look`: a process of its own, because what waits for
// a file system can often not even be killed. One that does not answer in time is
// killed all the same, nobody waits for its end, and another takes its place.
package look

import (
	"fmt"
	"strings"
	"syscall"
	"time"
)

// Patience is how long a looker may take for one answer.
const Patience = time.Second

// Want is a question.
type Want struct {
	Path  string // absolute; links are followed
	Head  int    // so many of its first bytes too, if it is a regular file
	Whole bool   // what lies beneath too, if it is a folder
}

// Step is one name that a path leads through, or what stands at its end.
type Step struct {
	Path     string // from / on, without links
	Mode     uint32 // type and permissions, as in stat(2)
	UID, GID uint32
	Link     string // where a symbolic link leads
	ID       ID
}

// ID changes whenever what a file holds does.
type ID struct {
	Dev, Inode, Size uint64
	Sec              int64 // of its last change
	Nsec             uint32
}

// Sight is the answer.
type Sight struct {
	Steps   []Step        // all that the path leads through, in order
	At      string        // what could not be looked at; "" if the end was reached
	Errno   syscall.Errno // why
	Head    []byte
	Unread  syscall.Errno // why there is none
	Beneath []Step        // what lies beneath the folder, and all that links there lead through
	Many    bool          // there is more than was looked at
}

// Script is how much of a file the kernel looks at for "#!" (linux/binfmts.h). So
// much of a file is remembered until it changes.
const Script = 256

// maxBeneath bounds what is looked at in one folder.
const maxBeneath = 4096

// The types in Step.Mode.
const (
	typeBits = 0o170000
	regular  = 0o100000
	folder   = 0o040000
	link     = 0o120000
)

func (s *Step) Regular() bool { return s.Mode&typeBits == regular }
func (s *Step) Folder() bool  { return s.Mode&typeBits == folder }
func (s *Step) IsLink() bool  { return s.Mode&typeBits == link }

// End is what stands at the end of the path; nil if that was not reached.
func (s *Sight) End() *Step {
	if s.At != "" || len(s.Steps) == 0 {
		return nil
	}
	return &s.Steps[len(s.Steps)-1]
}

// SilentError says that no answer came. It is no news of the path: nothing is
// known of it.
type SilentError struct {
	Path string // what was asked for
	At   string // where the silence begins, as far as known
}

func (e *SilentError) Error() string {
	where := ""
	if e.At != "" && e.At != e.Path && !strings.HasPrefix(e.At, e.Path+"/") {
		where = ", from " + e.At + " on"
	}
	return fmt.Sprintf("cannot check %s: it did not answer within %v%s; is its file system mounted and alive?", e.Path, Patience, where)
}
