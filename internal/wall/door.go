package wall

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Connection is a Unix connection that the monitor accepted and identified.
type Connection struct {
	Number uint64 // never used again
	UID    uint32 // as SO_PEERCRED said when it was accepted
	Over   bool   // the caller has too many connections: answer 429 and close it
	Full   bool   // all callers together have too many: answer 503 and close it
	Line   bool   // it came to a socket where 'Key: Value' is spoken, not HTTP
}

// A connection's message is its number, its uid and its flags, and carries the
// descriptor.
const (
	doorMessage = 8 + 4 + 1
	flagOver    = 1
	flagLine    = 2
	flagFull    = 4
)

// Door is one end of the socket that connections go through.
type Door struct {
	file *os.File
	raw  syscall.RawConn
}

// NewDoor takes over one end of a SOCK_SEQPACKET socket pair.
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
	var m [doorMessage]byte
	binary.LittleEndian.PutUint64(m[0:], c.Number)
	binary.LittleEndian.PutUint32(m[8:], c.UID)
	if c.Over {
		m[12] |= flagOver
	}
	if c.Full {
		m[12] |= flagFull
	}
	if c.Line {
		m[12] |= flagLine
	}
	rights := unix.UnixRights(fd)
	var err error
	waitErr := d.raw.Write(func(door uintptr) bool {
		err = unix.Sendmsg(int(door), m[:], rights, nil, unix.MSG_NOSIGNAL)
		return err != unix.EAGAIN
	})
	if waitErr != nil {
		return waitErr
	}
	return err
}

// fullPause is the time between two tries to take a descriptor for which there
// is no room.
const fullPause = 50 * time.Millisecond

// Receive waits for a connection; io.EOF when the monitor is gone. A descriptor
// for which the receiver has no room is lost with its message (MSG_CTRUNC,
// unix(7)): so a message is looked at first, which gives the descriptor, too,
// and taken off only then. Without room the connections wait in the door.
func (d *Door) Receive() (Connection, *os.File, error) {
	var m [doorMessage + 1]byte
	control := make([]byte, unix.CmsgSpace(4))
	n, controlLen, flags, err := d.receive(m[:], control, unix.MSG_PEEK|unix.MSG_CMSG_CLOEXEC)
	for ; err == nil && n > 0 && controlLen == 0 && flags&unix.MSG_CTRUNC != 0; time.Sleep(fullPause) {
		n, controlLen, flags, err = d.receive(m[:], control, unix.MSG_PEEK|unix.MSG_CMSG_CLOEXEC)
	}
	if err == nil && n > 0 {
		_, _, _, err = d.receive(m[:], nil, 0)
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
	return Connection{
		Number: binary.LittleEndian.Uint64(m[0:]),
		UID:    binary.LittleEndian.Uint32(m[8:]),
		Over:   m[12]&flagOver != 0,
		Full:   m[12]&flagFull != 0,
		Line:   m[12]&flagLine != 0,
	}, os.NewFile(uintptr(fd), "connection"), nil
}

func (d *Door) receive(m, control []byte, flags int) (n, controlLen, got int, err error) {
	waitErr := d.raw.Read(func(door uintptr) bool {
		n, controlLen, got, _, err = unix.Recvmsg(int(door), m, control, flags)
		return err != unix.EAGAIN
	})
	if waitErr != nil {
		err = waitErr
	}
	return n, controlLen, got, err
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
