package wall

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// Encode gives the whole frame of a request.
func (r *Request) Encode() ([]byte, error) { return r.encode(r.Kind.row()) }

func (r *Request) encode(verb *Verb) ([]byte, error) {
	if verb.Access == undeclared {
		return nil, fmt.Errorf("cannot send a request of the unknown kind %d over the wall", r.Kind)
	}
	room := 256 + len(r.Authorization) + len(r.Target) + len(r.Body) // a body can be large: it is copied once
	e := encoder{b: make([]byte, 4, room)}
	e.b = append(e.b, byte(r.Kind))
	if err := e.fields(r, verb); err != nil {
		return nil, err
	}
	return e.frame()
}

// Check says whether the monitor would read r as it is: whatever breaks a limit
// of this protocol it takes for the end of an honest server.
func (r *Request) Check() error {
	frame, err := r.Encode()
	if err != nil {
		return err
	}
	_, err = decodeRequest(frame[4:])
	return err
}

// decodeRequest reads all of a frame. Every byte must be used.
func decodeRequest(frame []byte) (*Request, error) {
	r, err := decodeFields(frame)
	if err == nil {
		err = r.Unpack()
	}
	return r, err
}

// decodeFields reads the kind and fields of a frame; values stay as they came.
func decodeFields(frame []byte) (*Request, error) {
	d := decoder{b: frame}
	r := &Request{Kind: Kind(d.byte())}
	d.whole(r, r.Kind.row())
	return r, d.err
}

// whole reads all that is left, by the row of r's kind.
func (d *decoder) whole(r *Request, verb *Verb) {
	if verb.Access == undeclared {
		d.fail("a message of the unknown kind %d", r.Kind)
	}
	d.fields(r, verb)
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes too many in a message of kind %d", len(d.b), r.Kind)
	}
}

// Unpack reads the values of a request, of which Receive has left the bytes: they
// take many times as much of the memory, and each sender is to wait for its own.
// An error means that the server must be killed: see Break.
func (r *Request) Unpack() error {
	if r.Packed == nil {
		return nil
	}
	d := decoder{b: r.Packed}
	r.Packed, r.Params = nil, d.params()
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes too many in a message of kind %d", len(d.b), r.Kind)
	}
	return d.err
}

// frame puts the length in front of what was encoded behind four free bytes.
func (e *encoder) frame() ([]byte, error) {
	n := len(e.b) - 4
	if n > MaxFrame {
		return nil, broken("a frame of %d bytes, longer than %d", n, MaxFrame)
	}
	binary.LittleEndian.PutUint32(e.b, uint32(n))
	return e.b, nil
}

// readFrame reads one frame without its length. io.EOF only between frames.
func readFrame(r io.Reader, limit int) ([]byte, error) {
	n, err := readSize(r, limit)
	if err != nil {
		return nil, err
	}
	return readBody(r, n)
}

// readSize reads how long the frame is that follows.
func readSize(r io.Reader, limit int) (int, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n == 0 || n > uint32(limit) {
		return 0, broken("a frame of %d bytes, not between 1 and %d", n, limit)
	}
	return int(n), nil
}

func readBody(r io.Reader, n int) ([]byte, error) {
	frame := make([]byte, n)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return frame, nil
}

func encodeJSON(kind Kind, numbers []uint64, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return encodeLine(kind, numbers, text)
}

func encodeLine(kind Kind, numbers []uint64, line []byte) ([]byte, error) {
	e := encoder{b: make([]byte, 4, 4+1+8*len(numbers)+len(line))}
	e.b = append(e.b, byte(kind))
	for _, n := range numbers {
		e.u64(n)
	}
	e.b = append(e.b, line...)
	return e.frame()
}
