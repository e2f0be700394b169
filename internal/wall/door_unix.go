//go:build unix

package wall

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Door is one end of the socket that connections go through.
type Door struct {
	file *os.File
	raw  syscall.RawConn
}

// NewDoor takes over one end of a pair of Unix sockets of DoorType.
func NewDoor(f *os.File) (*Door, error) {
	if err := unix.SetNonblock(int(f.Fd()), true); err != nil {
		return nil, fmt.Errorf("cannot use the door: %w", err)
	}
	// Only a file made from a descriptor that is non-blocking already is
	// waited for by the runtime's poller instead of a thread.
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("cannot use the door: %w", err)
	}
	f.Close()
	file := os.NewFile(uintptr(fd), "door")
	raw, err := file.SyscallConn()
	return &Door{file: file, raw: raw}, err
}

// Send passes a connection. The descriptor remains the sender's, too.
func (d *Door) Send(c Connection, fd int) error {
	m := c.message()
	rights := unix.UnixRights(fd)
	var err error
	waitErr := d.raw.Write(func(door uintptr) bool {
		err = unix.Sendmsg(int(door), m, rights, nil, unix.MSG_NOSIGNAL)
		return err != unix.EAGAIN
	})
	if waitErr != nil {
		return waitErr
	}
	return err
}

// errNoRoom says that this process has no room for another descriptor; the
// connection waits in the door.
var errNoRoom = errors.New("no room for a descriptor")

// fullPause is the time between two tries to take a connection without room.
const fullPause = 50 * time.Millisecond

// Receive waits for a connection, and for room for it; io.EOF when the monitor
// is gone.
func (d *Door) Receive() (Connection, *os.File, error) {
	var m [doorMessage + 1]byte
	control := make([]byte, unix.CmsgSpace(4))
	n, controlLen, err := d.receive(m[:], control)
	for ; err == errNoRoom; time.Sleep(fullPause) {
		n, controlLen, err = d.receive(m[:], control)
	}
	switch {
	case err != nil:
		return Connection{}, nil, err
	case n == 0:
		return Connection{}, nil, io.EOF
	case n != doorMessage:
		return Connection{}, nil, broken("a connection of %d bytes", n)
	}
	fd, err := oneDescriptor(control[:controlLen])
	if err != nil {
		return Connection{}, nil, err
	}
	return parseConnection(m[:doorMessage]), os.NewFile(uintptr(fd), "connection"), nil
}

func (d *Door) receive(m, control []byte) (n, controlLen int, err error) {
	waitErr := d.raw.Read(func(door uintptr) bool {
		n, controlLen, err = receive(int(door), m, control)
		return err != unix.EAGAIN
	})
	if waitErr != nil {
		err = waitErr
	}
	return n, controlLen, err
}

func oneDescriptor(control []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(messages) != 1 {
		return -1, broken("a connection without its descriptor")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, broken("a connection without its descriptor")
	}
	return fds[0], nil
}

// Close closes this end.
func (d *Door) Close() error { return d.file.Close() }
