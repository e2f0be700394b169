package process

import (
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ReaperMain is the subreaper above one task: the whole program of `deputyd
// --role reaper LEAF`. It outlives the monitor, ends when it has no child left,
// and kills what outlives the first process. Descriptors 0, 1 and 2 are the
// task's; 3 is the socket on which its order comes.
func ReaperMain(_ []string) int {
	unix.CloseOnExec(3)
	socket := os.NewFile(3, "order")
	said, say := gob.NewDecoder(socket), gob.NewEncoder(socket)
	var o order
	if err := said.Decode(&o); err != nil {
		return 1 // the monitor died before it had said what to do: nothing is started
	}
	r, err := newReaper(o)
	_ = say.Encode(answerOf(err)) // a monitor that died says no more, and reads the finding
	if err != nil {
		return 1
	}
	var begin bool
	if said.Decode(&begin) != nil { // the next monitor starts it anew, or takes it for unknown: not twice
		_ = removeFinding(o.StateDir, o.Leaf)
		return 1
	}
	err = r.begin(o)
	_ = say.Encode(answerOf(err))
	_ = socket.Close()
	if err != nil {
		_ = removeFinding(o.StateDir, o.Leaf)
		return 1
	}
	return r.run()
}

// answerOf is err as it is told through the socket.
func answerOf(err error) (a answer) {
	var at *birthError
	switch {
	case err == nil:
	case errors.As(err, &at):
		a = answer{at.at, at.errno}
	case !errors.As(err, &a.Errno):
		a.Errno = unix.EIO
	}
	return a
}

type reaper struct {
	path   string
	found  finding
	first  int            // PID of the first process; 0: it has ended
	left   map[born]bool  // what was killed after the first had ended
	child  chan os.Signal // SIGCHLD
	killed chan os.Signal // killOrder
	hurry  chan os.Signal // hurryOrder
	linger time.Duration
}

// born tells processes apart for as long as the machine is up.
type born struct {
	pid     int
	startNS int64
}

// newReaper readies all but the task, and leaves a first finding: from then on
// a monitor that looks for the leaf finds it. There must be none yet, of another
// subreaper for the same attempt.
func newReaper(o order) (*reaper, error) {
	r := &reaper{path: findingPath(o.StateDir, o.Leaf), left: map[born]bool{},
		child: make(chan os.Signal, 1), killed: make(chan os.Signal, 1), hurry: make(chan os.Signal, 1), linger: o.Linger}
	// Signals are caught, not ignored: an ignored one would stay so in the task.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM)
	signal.Notify(r.child, unix.SIGCHLD)
	signal.Notify(r.killed, killOrder)
	signal.Notify(r.hurry, hurryOrder)
	self, err := readStat(os.Getpid())
	if err != nil {
		return nil, err
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	r.found = finding{PID: self.pid, BootNS: self.startNS}
	return r, r.write(os.Link)
}

// begin makes the first process, and waits until that has executed, failed, or was
// killed: Host.Kill kills what hangs, besides ordering us to. Waiting takes no
// thread: the user may have none left.
func (r *reaper) begin(o order) error {
	mem, err := unix.Mmap(-1, 0, int(unsafe.Sizeof(slot{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	if err != nil {
		return err
	}
	told := (*slot)(unsafe.Pointer(unsafe.SliceData(mem)))
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(ends[0])
	s := Spec{Argv: o.Argv, Env: o.Env, Dir: o.Dir, Credential: o.Credential, Input: o.Input, Files: o.Files}
	text := s.launch(0, descriptors{0, 1, 2, ends[1]}, ourInheritance())
	if err = readyToMake(); err == nil {
		if errno := (*head)(unsafe.Pointer(&text[0])).bornAsChild(told); errno != 0 {
			err = &birthError{stepClone, errno}
		}
	}
	runtime.KeepAlive(text)
	unix.Close(ends[1])
	if err != nil {
		return err
	}
	for readEnd(ends[0], new([1]byte)) == unix.EINTR {
	}
	pid, at, errno := told.result()
	if errno != 0 {
		_, _ = unix.Wait4(pid, nil, 0, nil)
		return &birthError{at, errno}
	}
	r.first = pid
	return nil
}

// readEnd waits for the end of a pipe into which nobody writes. The Go runtime does
// not know that we wait, or it might want a thread to run others meanwhile.
func readEnd(fd int, b *[1]byte) syscall.Errno {
	_, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(b)), 1)
	return errno
}

// run waits until there is no child left: since all descendants come up to us
// when they lose their parent, nothing of the task then lives.
func (r *reaper) run() int {
	ordered, pause := false, time.Millisecond
	var over <-chan time.Time // the time to linger
	for lingered := false; ; {
		if none := r.reap(); none {
			r.found.Ended, r.found.Left = true, len(r.left)
			if r.write(os.Rename) != nil {
				return 1
			}
			return 0
		}
		if r.first != 0 && !ordered {
			select {
			case <-r.child:
			case <-r.killed:
				ordered = true
			}
			continue
		}
		if !ordered && !lingered {
			if over == nil {
				over = time.After(r.linger)
				r.found.Exited = true
				_ = r.write(os.Rename) // without it a stop takes its grace
			}
			select {
			case <-r.child:
			case <-r.killed:
				ordered = true
			case <-r.hurry:
				lingered = true
			case <-over:
				lingered = true
			}
			continue
		}
		r.kill(!ordered)
		select {
		case <-r.child:
			pause = time.Millisecond
		case <-time.After(pause): // something may have been forked, or may refuse to die
			pause = min(2*pause, 100*time.Millisecond)
		}
	}
}

// reap takes the status of all that have ended, and says whether no child is left.
func (r *reaper) reap() (none bool) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if pid <= 0 {
			return errors.Is(err, unix.ECHILD)
		}
		if pid == r.first {
			r.found.Status, r.first = uint32(status), 0 // its number may come again
		}
	}
}

// kill kills every descendant that it finds; what was born meanwhile comes up
// to us and is found the next time.
func (r *reaper) kill(count bool) {
	for _, s := range descendants(os.Getpid()) {
		if !s.dead() && s.send(unix.SIGKILL) && count {
			r.left[born{s.pid, s.startNS}] = true
		}
	}
}

// write leaves the finding, whole or not at all; place puts it where it belongs.
func (r *reaper) write(place func(from, to string) error) error {
	text, err := json.Marshal(r.found)
	if err != nil {
		return err
	}
	made := fmt.Sprintf("%s.%d", r.path, r.found.PID)
	if err := os.WriteFile(made, text, 0o600); err != nil {
		return err
	}
	defer os.Remove(made)
	return place(made, r.path)
}
