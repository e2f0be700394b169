package httpapi

import (
	"bytes"
	"cmp"
	"strconv"
	"strings"
	"sync"
)

// heads watches what comes over a TCP connection and notes for each request
// whether its head is one that every reader understands in the same way.
// net/http lets more pass than it should where a proxy may stand in between:
// lines that end in LF alone, folded lines, a Content-Length beside a
// Transfer-Encoding (RFC 9112, sections 2.2, 5.2 and 6.3).
//
//	request line CRLF *( name ":" value CRLF ) CRLF   body of Content-Length bytes
type heads struct {
	mu      sync.Mutex
	line    []byte // of a head, as far as it has come
	inHead  bool   // its request line is read
	field   fields
	body    int64    // bytes still to come before the next head
	last    bool     // a chunked body has begun: no request follows it
	broken  string   // why nothing that follows is understood; empty: it is
	waiting []string // of the heads that are complete and not asked for, what is wrong with each
}

// fields counts what a head may have once.
type fields struct {
	host, length, encoding int
	bytes                  int64 // of Content-Length
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
		if end == 0 {
			h.line = append(h.line, p...)
			p = nil
		} else {
			h.line = append(h.line, p[:end]...)
			p = p[end:]
			h.readLine(string(h.line))
			h.line = h.line[:0]
		}
		if len(h.line) > maxHeader {
			h.broken = "a line of its head is longer than a head may be"
		}
	}
}

func (h *heads) readLine(line string) {
	text, ended := strings.CutSuffix(line, "\r\n")
	switch {
	case !ended:
		h.broken = "a line of its head ends in LF alone, not in CR LF"
	case strings.ContainsAny(text, "\r\x00"):
		h.broken = "a line of its head has a CR or a NUL in it"
	case !h.inHead && text == "":
		h.broken = "an empty line stands before it"
	case !h.inHead:
		h.inHead = true
	case text == "":
		h.end()
	case text[0] == ' ' || text[0] == '\t':
		h.broken = "a line of its head is folded"
	default:
		h.readField(text)
	}
}

func (h *heads) readField(text string) {
	name, value, found := strings.Cut(text, ":")
	value = strings.Trim(value, " \t")
	switch {
	case !found || strings.ContainsAny(name, " \t"):
		h.broken = "a line of its head is not a header"
	case strings.EqualFold(name, "Host"):
		h.field.host++
	case strings.EqualFold(name, "Transfer-Encoding"):
		h.field.encoding++
	case strings.EqualFold(name, "Content-Length"):
		h.field.length++
		n, err := strconv.ParseUint(value, 10, 62)
		if err != nil {
			h.broken = "its Content-Length is not a number"
		}
		h.field.bytes = int64(n)
	}
}

// end notes a whole head and looks for the next behind its body.
func (h *heads) end() {
	problem := ""
	switch f := h.field; {
	case f.host != 1:
		problem = "it must have one Host"
	case f.length > 1:
		problem = "it has two Content-Lengths"
	case f.encoding > 1:
		problem = "it has two Transfer-Encodings"
	case f.length > 0 && f.encoding > 0:
		problem = "it has both Content-Length and Transfer-Encoding"
	}
	h.waiting = append(h.waiting, problem)
	h.body, h.last = h.field.bytes, h.field.encoding > 0
	h.inHead, h.field = false, fields{}
	if problem != "" {
		h.broken = problem
	}
}

// next says what is wrong with the head of the request that net/http gives
// next; empty: nothing.
func (h *heads) next() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiting) == 0 {
		return cmp.Or(h.broken, "its head was not understood")
	}
	problem := h.waiting[0]
	h.waiting = h.waiting[1:]
	return problem
}
