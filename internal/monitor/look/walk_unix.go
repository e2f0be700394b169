//go:build unix

package look

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links the kernel follows in one path, see
// path_resolution(7).
const maxLinks = 40

// walker goes down paths from /, a name at a time, into links as the kernel does.
type walker struct {
	step    func(path string) (Step, error) // looks at one name, whose folders are no links
	inside  func(path string) (Step, error) // the same, where a neighbour was looked at just now
	folders []Step                          // that were looked at: a few
}

func newWalker(step func(string) (Step, error)) *walker {
	return &walker{step, step, make([]Step, 0, 16)}
}

// folder finds one that was looked at.
func (w *walker) folder(path string) (Step, bool) {
	for i := range w.folders {
		if w.folders[i].Path == path {
			return w.folders[i], true
		}
	}
	return Step{}, false
}

// walk gives the steps of a path, and of what could not be looked at where and
// why. The error is one of step that says nothing of the path.
func (w *walker) walk(path string) (s Sight, err error) {
	at, rest, links := "", "/"+path, 0
	s.Steps = make([]Step, 0, strings.Count(path, "/")+1)
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		next := at + "/" + name
		switch {
		case name == "" && at == "" && len(s.Steps) == 0:
			next = "/"
		case name == "" || name == ".":
			continue
		case name == "..":
			at = at[:max(strings.LastIndexByte(at, '/'), 0)]
			above, _ := w.folder("/" + strings.TrimPrefix(at, "/"))
			s.Steps = append(s.Steps, above)
			continue
		}
		step, known := w.folder(next)
		if !known {
			if step, err = w.step(next); err != nil {
				return s, s.failed(next, err)
			}
		}
		s.Steps = append(s.Steps, step)
		switch {
		case step.IsLink():
			if links++; links > maxLinks || step.Link == "" {
				return s, s.failed(next, unix.ELOOP)
			}
			if rest = step.Link + "/" + rest; rest[0] == '/' {
				at = ""
			}
			continue
		case step.Folder() && !known:
			w.folders = append(w.folders, step)
		}
		at = strings.TrimSuffix(next, "/")
	}
	return s, nil
}

// failed notes why a path cannot be followed; what is no error of the path goes
// on to who asked.
func (s *Sight) failed(at string, err error) error {
	errno, ok := err.(unix.Errno)
	if !ok || errno == unix.EAGAIN {
		return err
	}
	s.At, s.Errno = at, errno
	return nil
}

// see answers a question, and waits as long as it takes.
func (w *walker) see(want Want) (Sight, error) {
	s, err := w.walk(want.Path)
	end := s.End()
	if err != nil || end == nil {
		return s, err
	}
	if want.Head > 0 && end.Regular() {
		s.Head, s.Unread = head(end.Path, want.Head)
	}
	if want.Whole && end.Folder() {
		err = w.beneath(&s, end.Path)
	}
	return s, err
}

// plain looks at one name.
func plain(path string) (Step, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return Step{}, err
	}
	s := Step{
		Path: path, Mode: uint32(st.Mode), UID: st.Uid, GID: st.Gid,
		ID: ID{uint64(st.Dev), st.Ino, uint64(st.Size), int64(st.Ctim.Sec), uint32(st.Ctim.Nsec)},
	}
	if s.IsLink() {
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlink(path, target)
		if err != nil {
			return Step{}, err
		}
		s.Link = string(target[:n])
	}
	return s, nil
}

// head reads the first bytes of a regular file.
func head(path string, size int) ([]byte, unix.Errno) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err.(unix.Errno)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || uint32(st.Mode)&typeBits != regular {
		return nil, unix.EIO // it was another file a moment ago
	}
	text, got := make([]byte, min(int64(size), st.Size+1)), 0
	for got < len(text) {
		n, err := unix.Pread(fd, text[got:], int64(got))
		if err != nil {
			return nil, err.(unix.Errno)
		}
		if n == 0 {
			break
		}
		got += n
	}
	if got == 0 { // as gob has it
		return nil, 0
	}
	return text[:got], 0
}

// list names up to n entries of a folder.
func list(dir string, n int) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer f.Close()
	names, err := f.Readdirnames(n)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Unwrap(err)
	}
	return names, nil
}

// beneath looks at everything in a folder, and follows links that stand there.
func (w *walker) beneath(s *Sight, dir string) error {
	if _, err := w.step(dir); err != nil {
		return s.failed(dir, err)
	}
	names, err := list(dir, maxBeneath-len(s.Beneath)+1)
	if err != nil {
		return s.failed(dir, err)
	}
	for _, name := range names {
		if len(s.Beneath) >= maxBeneath {
			s.Many = true
			return nil
		}
		path := filepath.Join(dir, name)
		step, err := w.inside(path)
		switch {
		case err != nil:
			if err := s.failed(path, err); err != nil || s.Errno != unix.ENOENT {
				return err
			}
			s.At, s.Errno = "", 0 // it has gone meanwhile
		case step.IsLink():
			led, err := w.walk(path)
			if err != nil {
				return err
			}
			s.Beneath = append(s.Beneath, led.Steps...)
		default:
			s.Beneath = append(s.Beneath, step)
			if step.Folder() {
				if err := w.beneath(s, path); err != nil || s.At != "" || s.Many {
					return err
				}
			}
		}
	}
	return nil
}
