package wall

import (
	"encoding/binary"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/windows"
)

// HandlesEnv is the variable by which the server is told its ends of the stream
// and of the door: two handles, by their values.
const HandlesEnv = "DEPUTY_WALL"

// Door is one end of the pipe that connections go through: handles that the
// sender makes in the receiver's process (DuplicateHandle), by their value.
type Door struct {
	file     *os.File
	receiver *os.Process // nil: we are it
}

// NewDoor takes over the receiver's end of a pipe.
func NewDoor(f *os.File) (*Door, error) { return &Door{file: f}, nil }

// NewDoorTo takes over the sender's end of a pipe whose other end is receiver's.
func NewDoorTo(f *os.File, receiver *os.Process) *Door { return &Door{f, receiver} }

// A connection's message goes on with the first byte, the handle's value, and
// the length of the SID, which follows.
const pipeMessage = doorMessage + 1 + 8 + 1

// Send passes a connection. The handle remains the sender's, too.
func (d *Door) Send(c Connection, handle int) error {
	var theirs windows.Handle
	var failed error
	err := d.receiver.WithHandle(func(receiver uintptr) {
		failed = windows.DuplicateHandle(windows.CurrentProcess(), windows.Handle(handle), windows.Handle(receiver), &theirs, 0, false, windows.DUPLICATE_SAME_ACCESS)
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	m := append(c.message(), c.First)
	m = binary.LittleEndian.AppendUint64(m, uint64(theirs))
	m = append(append(m, byte(len(c.SID))), c.SID...)
	_, err = d.file.Write(m)
	return err
}

// Receive waits for a connection; io.EOF when the monitor is gone.
func (d *Door) Receive() (Connection, *os.File, error) {
	var m [pipeMessage]byte
	if _, err := io.ReadFull(d.file, m[:]); err != nil {
		return Connection{}, nil, atEnd(err)
	}
	sid := make([]byte, m[len(m)-1])
	if _, err := io.ReadFull(d.file, sid); err != nil {
		return Connection{}, nil, atEnd(err)
	}
	c := parseConnection(m[:])
	c.SID, c.First = string(sid), m[doorMessage]
	return c, os.NewFile(uintptr(binary.LittleEndian.Uint64(m[doorMessage+1:])), "connection"), nil
}

func atEnd(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return err
	}
	return io.EOF // a pipe that the monitor has closed, also in the middle of a message
}

// Close closes this end.
func (d *Door) Close() error { return d.file.Close() }
