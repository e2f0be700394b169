package wall

import (
	"encoding/binary"

	"deputy"
)

// Connection is a local connection that the monitor accepted and identified.
type Connection struct {
	Number uint64 // never used again
	UID    uint32 // as SO_PEERCRED said when it was accepted
	Lent   bool   // UID is one of many that a user may take, …
	Owner  uint32 // … and its limits are this one's
	SID    string // on Windows instead: the user of the client's token
	First  byte   // on Windows: the first byte that came, which the monitor had to read to learn who it is
	Over   bool   // the caller has too many connections: answer 429 and close it
	Full   bool   // all callers together have too many: answer 503 and close it
	Line   bool   // it came to a socket where 'Key: Value' is spoken, not HTTP
}

// A connection's message is its number, its uid, that one's owner and its flags, and
// carries the descriptor.
const (
	doorMessage = 8 + 4 + 4 + 1
	flagOver    = 1
	flagLine    = 2
	flagFull    = 4
	flagLent    = 8
)

// Caller is who is at the other end.
func (c Connection) Caller() deputy.Caller {
	if c.SID != "" {
		return deputy.SIDCaller(c.SID)
	}
	return deputy.UIDCaller(c.UID)
}

// Account is whose limits count for what comes over it.
func (c Connection) Account() deputy.Caller {
	if c.Lent {
		return deputy.UIDCaller(c.Owner)
	}
	return c.Caller()
}

func (c Connection) message() []byte {
	var m [doorMessage]byte
	binary.LittleEndian.PutUint64(m[0:], c.Number)
	binary.LittleEndian.PutUint32(m[8:], c.UID)
	binary.LittleEndian.PutUint32(m[12:], c.Owner)
	if c.Lent {
		m[16] |= flagLent
	}
	if c.Over {
		m[16] |= flagOver
	}
	if c.Full {
		m[16] |= flagFull
	}
	if c.Line {
		m[16] |= flagLine
	}
	return m[:]
}

func parseConnection(m []byte) Connection {
	return Connection{
		Number: binary.LittleEndian.Uint64(m[0:]),
		UID:    binary.LittleEndian.Uint32(m[8:]),
		Owner:  binary.LittleEndian.Uint32(m[12:]),
		Lent:   m[16]&flagLent != 0,
		Over:   m[16]&flagOver != 0,
		Full:   m[16]&flagFull != 0,
		Line:   m[16]&flagLine != 0,
	}
}
