package output

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// notifier, of inotify(7), tells once that a file was written to: a watch ends with its first
// event, so that a busy writer is not slowed and its reader not flooded.
//
// One goroutine reads; arm, disarm and close are called under one lock of the
// owner's.
type notifier struct {
	fd     int
	file   *os.File // owns fd
	closed bool     // then fd may be another file's
	buf    [4096]byte
}

func newNotifier() (*notifier, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot watch files (see fs.inotify.max_user_instances): %w", err)
	}
	return &notifier{fd: fd, file: os.NewFile(uintptr(fd), "inotify")}, nil
}

// arm watches the file at path until its next change. A watch that still
// stands for the same file is the same watch.
func (n *notifier) arm(path string) (watch int32, err error) {
	if n.closed {
		return 0, fmt.Errorf("cannot watch a file: %w", os.ErrClosed)
	}
	w, err := unix.InotifyAddWatch(n.fd, path, unix.IN_MODIFY|unix.IN_ONESHOT|unix.IN_DONT_FOLLOW)
	if err != nil {
		return 0, fmt.Errorf("cannot watch a file (see fs.inotify.max_user_watches): %w", err)
	}
	return int32(w), nil
}

// disarm ends a watch. One that has fired is gone already.
func (n *notifier) disarm(watch int32) {
	if !n.closed {
		unix.InotifyRmWatch(n.fd, uint32(watch))
	}
}

// read waits until watches have fired, or for the deadline of setDeadline,
// when it returns none. all is set when events were lost: any may have fired.
// io.EOF follows close.
func (n *notifier) read() (fired []int32, all bool, err error) {
	size, err := n.file.Read(n.buf[:])
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, false, nil
	case errors.Is(err, os.ErrClosed):
		return nil, false, io.EOF
	case err != nil:
		return nil, false, fmt.Errorf("cannot read which files changed: %w", err)
	}
	// struct inotify_event of inotify(7): int wd; uint32_t mask, cookie, len; char name[len]
	for buf := n.buf[:size]; len(buf) >= unix.SizeofInotifyEvent; {
		watch := int32(binary.NativeEndian.Uint32(buf))
		mask := binary.NativeEndian.Uint32(buf[4:])
		name := int(binary.NativeEndian.Uint32(buf[12:]))
		if mask&unix.IN_Q_OVERFLOW != 0 {
			all = true
		} else {
			fired = append(fired, watch)
		}
		buf = buf[unix.SizeofInotifyEvent+name:]
	}
	return fired, all, nil
}

// setDeadline ends a read, also one under way, at t; zero: never.
func (n *notifier) setDeadline(t time.Time) { n.file.SetReadDeadline(t) }

// close ends a read under way.
func (n *notifier) close() error {
	n.closed = true
	return n.file.Close()
}
