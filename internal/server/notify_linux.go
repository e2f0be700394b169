package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/internal/discard"
	"deputy/internal/server/history"
)

// Limits of what tasks tell. They are not trusted: a datagram touches the
// progress of its sender's own task and nothing else.
const (
	maxDatagram    = 4096                   // bytes; a longer one is dropped
	progressPeriod = 100 * time.Millisecond // at most one progress of a task is passed on in this time
)

// tasks is what the receiver needs of the history.
type tasks interface {
	Task(ctx context.Context, id string) (deputy.Task, bool, error)
	SetProgress(id string, p deputy.Progress)
	First(id string) (f history.First, live bool)
}

// progressListener receives what tasks write to $DEPUTY_NOTIFY_SOCKET, in the way of
// sd_notify(3): STATUS=text and X_PERCENT=0…100.
type progressListener struct {
	socket *net.UnixConn
	find   sender
	tasks  tasks

	discard *discard.Closer // of what comes with datagrams, whoever sent it

	mu     sync.Mutex
	recent map[string]*report // by task, of those passed on within the period: what came since

	early early
}

// listenProgress takes over the bound datagram socket.
func listenProgress(f *os.File, cgroupTasks string, tasks tasks) (*progressListener, error) {
	conn, err := net.FilePacketConn(f)
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("cannot receive progress: %w", err)
	}
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, errors.New("cannot receive progress: not a Unix socket")
	}
	raw, err := socket.SyscallConn()
	if err == nil {
		var optErr error
		err = raw.Control(func(fd uintptr) { optErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
		err = errors.Join(err, optErr)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("cannot receive progress: %w", err)
	}
	return &progressListener{
		socket: socket, tasks: tasks, discard: discard.New(), recent: map[string]*report{},
		find: sender{proc: "/proc", cgroupTasks: cgroupTasks, tasks: tasks},
	}, nil
}

func (l *progressListener) close() {
	l.socket.Close()
	l.discard.End()
}

// run receives until the socket is closed.
func (l *progressListener) run() error {
	buf := make([]byte, maxDatagram)
	control := make([]byte, unix.CmsgSpace(unix.SizeofUcred)+unix.CmsgSpace(4*maxDescriptors))
	for {
		n, controlLen, flags, _, err := l.socket.ReadMsgUnix(buf, control)
		if err != nil {
			return fmt.Errorf("cannot receive progress: %w", err)
		}
		pid, descriptors := ancillary(control[:controlLen])
		if flags&unix.MSG_TRUNC == 0 && pid > 0 {
			l.receive(pid, buf[:n])
		}
		// Only now: the other end of BARRIER=1's descriptor waits for this.
		for _, fd := range descriptors {
			l.discard.Close(fd)
		}
	}
}

func (l *progressListener) receive(pid int, datagram []byte) {
	r := parseReport(datagram)
	if r.empty() {
		return
	}
	if l.find.cgroupTasks != "" {
		if task := l.find.byCgroup(pid); task != "" {
			l.pass(task, r)
		}
		return
	}
	l.retry() // what came before this one is passed on before it
	claims := l.find.claims(pid)
	if task, early := l.find.proven(claims); task != "" {
		l.pass(task, r)
	} else if early {
		l.keep(claims, r)
	}
}

// pass passes a report on, or keeps it until the task's next turn: the last
// one always gets through.
func (l *progressListener) pass(task string, r report) {
	l.mu.Lock()
	if waiting, busy := l.recent[task]; busy {
		waiting.merge(r)
		l.mu.Unlock()
		return
	}
	l.recent[task] = &report{}
	l.mu.Unlock()
	l.apply(task, r)
	time.AfterFunc(progressPeriod, func() { l.turn(task) })
}

// turn passes on what came within a period, or ends the task's turns.
func (l *progressListener) turn(task string) {
	l.mu.Lock()
	r := *l.recent[task]
	if r.empty() {
		delete(l.recent, task)
		l.mu.Unlock()
		return
	}
	l.recent[task] = &report{}
	l.mu.Unlock()
	l.apply(task, r)
	time.AfterFunc(progressPeriod, func() { l.turn(task) })
}

// apply changes what r speaks of and leaves the rest as it was told before.
func (l *progressListener) apply(id string, r report) {
	task, found, err := l.tasks.Task(context.Background(), id)
	if err != nil || !found || task.Ended != nil {
		return
	}
	var p deputy.Progress
	if task.Progress != nil {
		p = *task.Progress
	}
	if r.percent != nil {
		p.Percent = r.percent
	}
	if r.status != nil {
		p.Message = r.status
	}
	l.tasks.SetProgress(id, p)
}

// maxDescriptors is how many descriptors may come with a datagram (SCM_MAX_FD).
const maxDescriptors = 253

// ancillary reads the sender's PID, as the kernel says it, and the descriptors
// that came along.
func ancillary(control []byte) (pid int, descriptors []int) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return 0, nil
	}
	for i := range messages {
		if cred, err := unix.ParseUnixCredentials(&messages[i]); err == nil {
			pid = int(cred.Pid)
		}
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil {
			descriptors = append(descriptors, fds...)
		}
	}
	return pid, descriptors
}
