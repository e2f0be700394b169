package look

import (
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The exchange over a socket pair, all of it gobs, which keep paths to the byte:
//
//	Pool → looker   question
//	looker → Pool   word{About}   before each name that it looks at
//	looker → Pool   word{Answer}

type question struct {
	Want   Want
	Silent []string // is not to be looked at: it does not answer
	Hung   []uint64 // nor is anything of these file systems
}

type word struct {
	About  string
	Dev    uint64 // of the folder above
	Answer *answer
}

type answer struct {
	Sight  Sight
	Silent string // the path leads to this one of question.Silent
}

// looker is such a process, seen from the Pool.
type looker struct {
	pid, pidfd int
	conn       *os.File
	say        *gob.Encoder
	hear       *gob.Decoder
	idle       time.Time // since when
}

// startTime is for the program to start: it is our own, which answers.
const startTime = 10 * time.Second

func startLooker(argv []string) (*looker, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot make a socket for a looker: %w", err)
	}
	defer unix.Close(pair[1])
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(pair[0])
		return nil, fmt.Errorf("cannot open %s: %w", os.DevNull, err)
	}
	defer unix.Close(null)
	l := &looker{pidfd: -1}
	in := uintptr(null)
	l.pid, err = syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Dir: "/", Env: []string{"GOMAXPROCS=1"}, Files: []uintptr{in, in, in, uintptr(pair[1])},
		Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, PidFD: &l.pidfd},
	})
	if err != nil {
		unix.Close(pair[0])
		return nil, fmt.Errorf("cannot start a looker: %w", err)
	}
	_ = unix.SetNonblock(pair[0], true) // so that a read has a deadline
	l.conn = os.NewFile(uintptr(pair[0]), "looker")
	l.say, l.hear = gob.NewEncoder(l.conn), gob.NewDecoder(l.conn)
	return l, nil
}

// ask puts a question. about is what it looked at last.
func (l *looker) ask(q question) (a answer, about place, err error) {
	patience := Patience
	if l.idle.IsZero() {
		patience += startTime
	}
	if err := l.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return a, about, err
	}
	if err := l.say.Encode(q); err != nil {
		return a, about, err
	}
	for {
		var w word
		if err := l.hear.Decode(&w); err != nil {
			return a, about, err
		}
		if w.Answer != nil {
			return *w.Answer, about, nil
		}
		if about.path == "" && l.idle.IsZero() { // it has begun
			if err := l.conn.SetDeadline(time.Now().Add(Patience)); err != nil {
				return a, about, err
			}
		}
		about = place{w.About, w.Dev}
	}
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// Main is `deputyd --role look`: it answers what comes over descriptor 3, until
// nobody is there to ask.
func Main() int {
	// What it has in memory is for nobody else.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return 1
	}
	conn := os.NewFile(3, "asker")
	hear, say := gob.NewDecoder(conn), gob.NewEncoder(conn)
	for {
		var q question
		if err := hear.Decode(&q); err != nil {
			return 0
		}
		a, err := q.answer(say)
		if err != nil {
			return 1
		}
		if err := say.Encode(word{Answer: &a}); err != nil {
			return 1
		}
	}
}

// silence is no error of a path: it is why it is not looked at.
type silence string

func (s silence) Error() string { return string(s) + " does not answer" }

func (q *question) answer(say *gob.Encoder) (answer, error) {
	w := newWalker(nil)
	w.step = func(at string) (Step, error) {
		above, _ := w.folder(filepath.Dir(at)) // was looked at: its file system is asked for the name
		if slices.Contains(q.Silent, at) || slices.Contains(q.Hung, above.ID.Dev) {
			return Step{}, silence(at)
		}
		if err := say.Encode(word{About: at, Dev: above.ID.Dev}); err != nil {
			return Step{}, err
		}
		return plain(at)
	}
	w.inside = plain
	s, err := w.see(q.Want)
	if at, ok := errors.AsType[silence](err); ok {
		return answer{Silent: string(at)}, nil
	}
	return answer{Sight: s}, err
}
