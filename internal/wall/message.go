package wall

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"slices"
)

// Encode gives the whole frame of a request.
func (r *Request) Encode() ([]byte, error) {
	e := encoder{b: make([]byte, 4, 256)}
	e.b = append(e.b, byte(r.Kind))
	switch r.Kind {
	case Hello:
		e.u32(r.Version)
		return e.frame()
	case Follow:
		e.u64(r.From)
		return e.frame()
	}
	e.u64(r.ID)
	switch r.Kind {
	case Signed:
		return r.encodeSigned(&e)
	case Ping:
		return e.frame()
	}
	e.u64(r.Connection)
	switch r.Kind {
	case Call:
		e.text(r.Module)
		e.text(r.Action)
		e.text(r.Key)
		e.text(r.EndUser)
	case Stop:
		e.text(r.Task)
		e.u64(uint64(r.GraceMS))
		e.flag(r.Force)
		e.text(r.EndUser)
	case Explain:
		e.text(r.Module)
		e.text(r.Action)
		e.text(r.As)
		e.text(r.EndUser)
	case Actions:
		e.flag(r.All)
	case Rights:
		e.text(r.EndUser)
	case Drain:
		e.flag(r.On)
	}
	if r.Kind == Call || r.Kind == Explain {
		if err := e.object(r.Params); err != nil {
			return nil, err
		}
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

func (r *Request) encodeSigned(e *encoder) ([]byte, error) {
	e.b = slices.Grow(e.b, len(r.Body)+len(r.Target)+4096) // a body can be large: it is copied once
	for _, field := range []string{string(r.Transport), r.Authorization, r.Method, r.Target, r.Key, r.EndUser} {
		e.text(field)
	}
	e.u32(uint32(len(r.Body)))
	e.b = append(e.b, r.Body...)
	return e.frame()
}

func (r *Request) decodeSigned(d *decoder) {
	r.Transport = Transport(d.text(MaxName))
	r.Authorization, r.Method, r.Target = d.text(MaxName), d.text(MaxName), d.text(MaxTarget)
	r.Key, r.EndUser = d.text(MaxName), d.text(MaxName)
	r.Body = d.bytes()
	if r.Transport != HTTP && r.Transport != Line && r.Transport != Legacy {
		d.fail("a signed request over an unknown transport")
	}
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
	switch r.Kind {
	case Hello:
		r.Version = d.u32()
	case Follow:
		r.From = d.u64()
	case Call, Stop, Explain, Actions, Rights, Reload, Drain, Upgrade:
		r.ID, r.Connection = d.u64(), d.u64()
	case Ping:
		r.ID = d.u64()
	case Signed:
		r.ID = d.u64()
		r.decodeSigned(&d)
	default:
		d.fail("a message of the unknown kind %d", r.Kind)
	}
	switch r.Kind {
	case Call:
		r.Module, r.Action = d.text(MaxName), d.text(MaxName)
		r.Key, r.EndUser = d.text(MaxName), d.text(MaxName)
	case Stop:
		r.Task, r.GraceMS, r.Force = d.text(MaxName), int64(d.u64()), d.flag()
		r.EndUser = d.text(MaxName)
	case Explain:
		r.Module, r.Action = d.text(MaxName), d.text(MaxName)
		r.As, r.EndUser = d.text(MaxName), d.text(MaxName)
	case Actions:
		r.All = d.flag()
	case Rights:
		r.EndUser = d.text(MaxName)
	case Drain:
		r.On = d.flag()
	}
	if r.Kind == Call || r.Kind == Explain {
		r.Packed, d.b = d.b, nil
		if d.err == nil && len(r.Packed) == 0 {
			d.fail("a message of kind %d without values", r.Kind)
		}
	}
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes too many in a message of kind %d", len(d.b), r.Kind)
	}
	return r, d.err
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
