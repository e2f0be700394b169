package wall

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// Door is one end of the pipe that connections go through: handles that the
// sender has made for the receiver's process (DuplicateHandle), by their value.
type Door struct{ file *os.File }

// NewDoor takes over one end of a pipe.
func NewDoor(f *os.File) (*Door, error) { return &Door{f}, nil }

// Send passes a connection. handle is its value in the receiver's process.
func (d *Door) Send(c Connection, handle int) error {
	m := append(c.message(), 0, 0, 0, 0, 0, 0, 0, 0, byte(len(c.SID)))
	binary.LittleEndian.PutUint64(m[doorMessage:], uint64(handle))
	_, err := d.file.Write(append(m, c.SID...))
	return err
}

// Receive waits for a connection; io.EOF when the monitor is gone.
func (d *Door) Receive() (Connection, *os.File, error) {
	var m [doorMessage + 8 + 1]byte
	if _, err := io.ReadFull(d.file, m[:]); err != nil {
		return Connection{}, nil, atEnd(err)
	}
	sid := make([]byte, m[len(m)-1])
	if _, err := io.ReadFull(d.file, sid); err != nil {
		return Connection{}, nil, atEnd(err)
	}
	c := parseConnection(m[:])
	c.SID = string(sid)
	return c, os.NewFile(uintptr(binary.LittleEndian.Uint64(m[doorMessage:])), "connection"), nil
}

func atEnd(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return err
	}
	return io.EOF // a pipe that the monitor has closed, also in the middle of a message
}

// Close closes this end.
func (d *Door) Close() error { return d.file.Close() }
