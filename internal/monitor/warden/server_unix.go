//go:build unix

package warden

import (
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"deputy/internal/monitor/confine"
	"deputy/internal/monitor/site"
	"deputy/internal/wall"
)

// A server begins with its standard descriptors and those of the stream, the door and
// the tasks' progress, and with nothing else of ours. Where it has a user of its own it
// has become that before its program begins.

// pair makes a connected pair of Unix sockets. Ours is non-blocking, so that
// closing it ends a read.
func pair(kind int) (ours, theirs *os.File, err error) {
	fds, err := unixPair(kind)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make the wall's sockets: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "wall"), os.NewFile(uintptr(fds[1]), "wall"), nil
}

// start starts deputy-server, confined unless the plan is nil, and gives
// our ends of the stream and of the door.
func (w *Warden) start(plan *confine.Plan) (program *os.Process, stream *os.File, door *wall.Door, err error) {
	stream, theirStream, err := pair(unix.SOCK_STREAM)
	if err != nil {
		return nil, nil, nil, err
	}
	defer theirStream.Close()
	ourDoor, theirDoor, err := pair(wall.DoorType)
	if err != nil {
		stream.Close()
		return nil, nil, nil, err
	}
	defer theirDoor.Close()
	if door, err = wall.NewDoor(ourDoor); err == nil {
		if program, err = w.execute(theirStream, theirDoor, plan); err == nil {
			return program, stream, door, nil
		}
		door.Close()
	}
	stream.Close()
	return nil, nil, nil, err
}

// execute starts the program as its own user with three descriptors beside
// the standard ones: the stream, the door, and where tasks tell progress.
func (w *Warden) execute(stream, door *os.File, plan *confine.Plan) (*os.Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	attr := &os.ProcAttr{
		Dir:   "/",
		Env:   []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "GOMEMLIMIT=192MiB"},
		Files: []*os.File{null, os.Stderr, os.Stderr, stream, door, w.o.Progress()},
		Sys:   &syscall.SysProcAttr{Setsid: true}, // a terminal's Ctrl-C is for the monitor alone
	}
	program, argv, as := w.command(plan)
	attr.Sys.Credential = as
	p, err := os.StartProcess(program, argv, attr)
	if err != nil {
		return nil, fmt.Errorf("cannot start the server: %w", err)
	}
	return p, nil
}

// Probe is how the server's program is executed to show that it could start. Any
// goroutine may call it.
func (w *Warden) Probe() (program string, argv []string, as *syscall.Credential) {
	return w.command(nil, "--probe")
}

// command is how the server's program is executed, with more arguments. On
// Linux it takes its identity itself: processes of its user could stop what has
// changed its user and has not executed yet, and with it whoever waits for that.
func (w *Warden) command(plan *confine.Plan, more ...string) (program string, argv []string, as *syscall.Credential) {
	as = w.credential()
	if plan == nil && as != nil && confine.Possible() && len(w.o.Confiner) > 0 {
		plan = &confine.Plan{Program: w.o.Paths.ServerProg, UID: int(as.Uid), GID: int(as.Gid), Bare: true, More: more}
	}
	if plan == nil {
		return w.o.Paths.ServerProg, append([]string{"deputy-server"}, more...), as
	}
	return w.o.Confiner[0], append(slices.Clone(w.o.Confiner), plan.Args()...), nil
}

// credential is whom the server runs as; nil: as we do.
func (w *Warden) credential() *syscall.Credential {
	if !site.Root() || w.user.UID == 0 {
		return nil
	}
	return &syscall.Credential{Uid: uint32(w.user.UID), Gid: uint32(w.user.GID)}
}

// endServer asks a server to end in good order.
func endServer(program *os.Process, _ io.Closer) { program.Signal(syscall.SIGTERM) }
