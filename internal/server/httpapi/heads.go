package httpapi

import (
	"bytes"
	"cmp"
	"strconv"
	"sync"
)

// heads watches what comes over a connection and notes for each request whether
// its head is one that every reader understands in the same way. net/http lets
// more pass than it should where a proxy may stand in between: lines that end in
// LF alone, folded lines, a Content-Length beside a Transfer-Encoding (RFC 9112,
// sections 2.2, 5.2 and 6.3). And it drops the blanks around a value, which would
// make one name of two.
//
//	request line CRLF *( name ":" value CRLF ) CRLF   body of Content-Length bytes
type heads struct {
	local bool // of a Unix socket: no proxy stands in between, lines may end in LF alone, and Host says nothing

	mu      sync.Mutex
	line    []byte // of a head, as far as it has come
	inHead  bool   // its request line is read
	field   fields
	body    int64     // bytes still to come before the next head
	last    bool      // a chunked body has begun: no request follows it
	broken  string    // why nothing that follows is understood; empty: it is
	waiting []verdict // of the heads that are complete and not asked for
}

// verdict is what is wrong with one head; empty: nothing.
type verdict struct {
	framing string // it cannot be told where it ends, or what follows it
	value   string // the header whose value has a blank at an edge
}

// fields counts what a head may have once.
type fields struct {
	host, length, encoding int
	bytes                  int64  // of Content-Length
	blank                  string // a header whose value has a blank at an edge
}

// note takes bytes in their order. It is called before net/http reads them.
func (h *heads) note(p []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(p) > 0 && h.broken == "" && !h.last {
		if h.body > 0 {
			n := min(h.body, int64(len(p)))
			h.body -= n
			p = p[n:]
			continue
		}
		end := bytes.IndexByte(p, '\n') + 1
		switch {
		case end == 0:
			h.line = append(h.line, p...)
			p = nil
		case len(h.line) > 0:
			h.line = append(h.line, p[:end]...)
			p = p[end:]
			h.readLine(h.line)
			h.line = h.line[:0]
		default:
			h.readLine(p[:end])
			p = p[end:]
		}
		if len(h.line) > maxHeader {
			h.broken = "a line of its head is longer than a head may be"
		}
	}
}

func (h *heads) readLine(line []byte) {
	text, ended := bytes.CutSuffix(line, []byte("\r\n"))
	if !ended && h.local {
		text, ended = bytes.CutSuffix(line, []byte("\n"))
	}
	switch {
	case !ended:
		h.broken = "a line of its head ends in LF alone, not in CR LF"
	case bytes.IndexByte(text, '\r') >= 0 || bytes.IndexByte(text, 0) >= 0:
		h.broken = "a line of its head has a CR or a NUL in it"
	case !h.inHead && len(text) == 0:
		h.broken = "an empty line stands before it"
	case !h.inHead:
		h.inHead = true
	case len(text) == 0:
		h.end()
	case text[0] == ' ' || text[0] == '\t':
		h.broken = "a line of its head is folded"
	default:
		h.readField(text)
	}
}

func (h *heads) readField(text []byte) {
	name, value, found := bytes.Cut(text, []byte(":"))
	if !found || bytes.ContainsAny(name, " \t") {
		h.broken = "a line of its head is not a header"
		return
	}
	is := func(what string) bool { return len(name) == len(what) && bytes.EqualFold(name, []byte(what)) }
	switch {
	case is("Host"):
		h.field.host++
	case is("Transfer-Encoding"):
		h.field.encoding++
	case is("Content-Length"):
		h.field.length++
		n, err := strconv.ParseUint(string(bytes.Trim(value, " \t")), 10, 62)
		if err != nil {
			h.broken = "its Content-Length is not a number"
		}
		h.field.bytes = int64(n)
	case is(endUserHeader) && blankAtEdge(value):
		h.field.blank = endUserHeader
	case is(keyHeader) && blankAtEdge(value):
		h.field.blank = keyHeader
	}
}

// The headers whose values are names, in which a blank counts.
const (
	endUserHeader = "Deputy-End-User"
	keyHeader     = "Idempotency-Key"
)

// blankAtEdge says whether what stands behind a colon, and the one space that may
// follow it, begins or ends with a blank.
func blankAtEdge(value []byte) bool {
	value = bytes.TrimPrefix(value, []byte(" "))
	return len(bytes.Trim(value, " \t")) < len(value)
}

// end notes a whole head and looks for the next behind its body.
func (h *heads) end() {
	v := verdict{value: h.field.blank}
	switch f := h.field; {
	case f.host > 1 || f.host == 0 && !h.local:
		v.framing = "it must have one Host"
	case f.length > 1:
		v.framing = "it has two Content-Lengths"
	case f.encoding > 1:
		v.framing = "it has two Transfer-Encodings"
	case f.length > 0 && f.encoding > 0:
		v.framing = "it has both Content-Length and Transfer-Encoding"
	}
	h.waiting = append(h.waiting, v)
	h.body, h.last = h.field.bytes, h.field.encoding > 0
	h.inHead, h.field = false, fields{}
	h.broken = v.framing
}

// next says what is wrong with the head of the request that net/http gives next.
func (h *heads) next() verdict {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiting) == 0 {
		return verdict{framing: cmp.Or(h.broken, "its head was not understood")}
	}
	v := h.waiting[0]
	h.waiting = h.waiting[1:]
	return v
}

// half says whether a head has begun that is not complete, and why the one that
// net/http does not understand is none.
func (h *heads) half() (begun bool, broken string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.inHead || len(h.line) > 0, h.broken
}
