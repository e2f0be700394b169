//go:build unix

package process

import (
	"fmt"
	"os"
	"syscall"
)

// attributes are those of a first process: descriptors 0, 1 and 2 alone, a
// session of its own, the declared environment, directory and user. Signals,
// umask and limits are right because CleanSelf made ours so.
func attributes(s Spec, null *os.File) *syscall.ProcAttr {
	files := make([]uintptr, 3)
	for i, f := range []*os.File{s.Stdin, s.Stdout, s.Stderr} {
		if f == nil {
			f = null
		}
		files[i] = f.Fd()
	}
	attr := &syscall.ProcAttr{Dir: s.Dir, Env: s.Env, Files: files, Sys: &syscall.SysProcAttr{Setsid: true}}
	if attr.Dir == "" {
		attr.Dir = "/"
	}
	if c := s.Credential; c != nil {
		attr.Sys.Credential = &syscall.Credential{Uid: c.UID, Gid: c.GID, Groups: c.Groups}
	}
	return attr
}

// startError says why a program could not be started; kind is for errors.Is.
type startError struct {
	program string
	kind    error
	cause   error
}

func (e *startError) Error() string   { return fmt.Sprintf("cannot start %s: %v", e.program, e.cause) }
func (e *startError) Unwrap() []error { return []error{e.kind, e.cause} }
