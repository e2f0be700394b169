package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// births is the monitor's side of the forker.
type births struct {
	argv   []string // of the forker
	null   *os.File // where output goes that nobody declares
	memory *os.File // of all slots
	slots  *slots
	ours   inherited

	mu      sync.Mutex // guards the rest
	free    []int      // slots
	process *os.Process
	socket  *os.File // nil: no forker lives
}

func newBirths(argv []string, null *os.File) (*births, error) {
	fd, err := unix.MemfdCreate("births", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot share memory with the forker: %w", err)
	}
	b := &births{argv: argv, null: null, memory: os.NewFile(uintptr(fd), "births"), ours: ourInheritance()}
	err = b.memory.Truncate(int64(unsafe.Sizeof(slots{})))
	if err == nil {
		b.slots, err = mapSlots(fd)
	}
	if err != nil {
		b.memory.Close()
		return nil, fmt.Errorf("cannot share memory with the forker: %w", err)
	}
	for n := 1; n < len(b.slots); n++ { // the first is the forker's own
		b.free = append(b.free, n)
	}
	return b, nil
}

// ready starts a forker if none lives.
func (b *births) ready() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.socket != nil {
		return nil
	}
	var err error
	b.process, b.socket, err = forkerProcess(b.argv, b.memory, b.slots)
	return err
}

// lost ends a forker that does not hear us; the next order starts another.
func (b *births) lost(socket *os.File) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.socket == nil || b.socket != socket {
		return
	}
	_ = b.process.Kill()
	_, _ = b.process.Wait() // it opens nothing that could hold it
	b.socket.Close()
	b.socket = nil
}

// end ends the forker; another order would start one.
func (b *births) end() { b.lost(b.current()) }

func (b *births) current() *os.File {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.socket
}

func (b *births) take() (int, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := len(b.free) - 1
	if last < 0 {
		return 0, false
	}
	n := b.free[last]
	b.free = b.free[:last]
	b.slots[n].clear()
	return n, true
}

func (b *births) give(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = append(b.free, n)
}

// order has a newborn made. A forker that died is replaced, once.
func (b *births) order(s *Spec, slot, leaf, report int) error {
	fds := []int{leaf, report, b.fd(s.Stdout), b.fd(s.Stderr)}
	theirs := descriptors{stdin: -1, stdout: forkerFiles + fileStdout, stderr: forkerFiles + fileStderr, report: forkerFiles + fileReport}
	if s.Stdin != nil {
		fds = append(fds, int(s.Stdin.Fd()))
		theirs.stdin = forkerFiles + fileStdin
	}
	text := s.launch(slot, theirs, b.ours)
	defer clear(text)
	if len(text) > launchMost {
		return &birthError{stepExec, unix.E2BIG}
	}
	if len(text) > launchSent {
		long, err := memoryFile(text)
		if err != nil {
			return err
		}
		defer long.Close()
		fds = append(fds, int(long.Fd()))
		begin := head{slot: uint32(slot), apart: 1}
		return b.send(bytesOf([]head{begin}), fds)
	}
	return b.send(text, fds)
}

func (b *births) send(text []byte, fds []int) error {
	err := errors.New("it ends as soon as it begins")
	for range 2 {
		if err := b.ready(); err != nil {
			return err
		}
		socket := b.current()
		if socket == nil { // another birth has just lost it
			continue
		}
		if err = send(socket, text, fds); err == nil {
			return nil
		}
		if !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, os.ErrClosed) {
			break
		}
		b.lost(socket)
	}
	return fmt.Errorf("cannot reach the forker: %w", err)
}

func (b *births) fd(f *os.File) int {
	if f == nil {
		f = b.null
	}
	return int(f.Fd())
}

func send(socket *os.File, text []byte, fds []int) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	rights := unix.UnixRights(fds...)
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		failed = unix.Sendmsg(int(fd), text, rights, nil, unix.MSG_NOSIGNAL)
		return !errors.Is(failed, unix.EAGAIN)
	})
	return errors.Join(err, failed)
}

func memoryFile(text []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("order", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot make a long order: %w", err)
	}
	f := os.NewFile(uintptr(fd), "order")
	if _, err = f.Write(text); err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot make a long order: %w", err)
	}
	return f, nil
}

// birth has a newborn made in an open leaf, and waits until it has executed, has
// failed, or BornWithin is over, or ctx is: then the process lives, and
// pid is not 0.
func (b *births) birth(ctx context.Context, s *Spec, leaf int) (pid int, err error) {
	number, ok := b.take()
	if !ok {
		s.gone()
		return 0, fmt.Errorf("too many births are under way: %w", unix.EAGAIN)
	}
	done := func() { b.give(number); s.gone() }
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		done()
		return 0, err
	}
	report := os.NewFile(uintptr(ends[0]), "report")
	err = b.order(s, number, leaf, ends[1])
	unix.Close(ends[1])
	if err != nil {
		report.Close()
		done()
		return 0, err
	}
	_ = report.SetReadDeadline(time.Now().Add(BornWithin))
	stop := context.AfterFunc(ctx, func() { _ = report.SetReadDeadline(time.Unix(1, 0)) })
	_, err = report.Read(make([]byte, 1)) // nothing is ever written
	stop()
	pid, at, errno := b.slots[number].result()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if pid == 0 { // the forker does not get round to it, and shall not any more
			b.end()
			pid, at, errno = b.slots[number].result()
		}
		go func() { // the end of the pipe comes when the newborn executes or ends, however late
			defer done()
			defer report.Close()
			_ = report.SetReadDeadline(time.Time{})
			_, _ = report.Read(make([]byte, 1))
		}()
		if pid != 0 && errno == 0 {
			return pid, ErrNotExecuted
		}
	} else {
		report.Close()
		done()
	}
	switch {
	case errno != 0:
		return pid, &birthError{at, errno}
	case pid == 0:
		return 0, fmt.Errorf("the forker ended before it made the process: %w", unix.EAGAIN)
	}
	return pid, nil
}

// birthError is what a newborn failed at.
type birthError struct {
	at    step
	errno syscall.Errno
}

func (e *birthError) Error() string { return e.errno.Error() }
func (e *birthError) Unwrap() error { return e.errno }
