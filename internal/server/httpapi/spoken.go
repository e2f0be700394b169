package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"deputy"
)

// spoken is what net/http hears and says on a connection: it sees the heads of
// requests, and makes problems of what net/http answers by itself, as plain text
// or not at all, where it cannot read a request.
type spoken struct {
	heads   heads
	phase   atomic.Int32
	timeout atomic.Bool // the read deadline is one of net/http's time-outs
}

// The phases of a connection. net/http answers by itself only while it reads a
// head, and then what was answered before is written.
const (
	reading int32 = iota
	answering
	answered // by us; net/http may still have to write a part of the answer
	over     // nothing more is said
)

func (s *spoken) begin() { s.phase.Store(answering) }
func (s *spoken) end()   { s.phase.Store(answered) }

// until takes note of a read deadline: one in the past only ends a Read.
func (s *spoken) until(t time.Time) { s.timeout.Store(t.After(time.Now())) }

// watches says whether a Read into p is that by which net/http watches a connection
// whose request is being answered, to cancel its context at the end: it is into a
// single byte (connReader.backgroundRead), and heads and bodies are read through a
// bufio.Reader, or into buffers of ours, which are larger. Nothing else tells them
// apart; TestNetHTTPWatchesByASingleByte fails where that changes.
func watches(p []byte) bool { return len(p) == 1 }

// read reads for net/http.
func (s *spoken) read(c net.Conn, p []byte) (int, error) {
	if !watches(p) {
		s.phase.CompareAndSwap(answered, reading)
	}
	n, err := c.Read(p)
	s.heads.note(p[:max(n, 0)])
	if errors.Is(err, os.ErrDeadlineExceeded) && s.timeout.Load() && s.phase.Load() == reading {
		if begun, _ := s.heads.half(); begun {
			s.phase.Store(over)
			_ = c.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = c.Write(alone(http.StatusRequestTimeout, fmt.Sprintf("cannot read this request: its head did not arrive within %s; send it at once", headerTime)))
		}
	}
	return n, err
}

// ownHeaders is what net/http puts behind the status line of its own answers. No
// answer of ours begins so.
const ownHeaders = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// write writes for net/http.
func (s *spoken) write(c io.Writer, p []byte) (int, error) {
	if s.phase.Load() == over {
		return len(p), nil
	}
	if s.phase.Load() != reading || !bytes.HasPrefix(p, []byte("HTTP/1.")) {
		return c.Write(p)
	}
	line, rest, _ := bytes.Cut(p, []byte("\r\n"))
	fields := bytes.SplitN(line, []byte(" "), 3)
	status, err := strconv.Atoi(string(fields[min(1, len(fields)-1)]))
	if err != nil || !bytes.HasPrefix(rest, []byte(ownHeaders[2:])) && status != http.StatusExpectationFailed {
		return c.Write(p)
	}
	if _, err := c.Write(alone(status, s.why(status, string(bytes.TrimSpace(fields[len(fields)-1]))))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// why says why net/http did not take a request; reason is what it says itself.
func (s *spoken) why(status int, reason string) string {
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge:
		return fmt.Sprintf("cannot read this request: its head is longer than %d bytes; send less", maxHeader)
	case http.StatusNotImplemented:
		return "cannot read this request: deputy knows no Transfer-Encoding but chunked; send Content-Length"
	case http.StatusExpectationFailed:
		return "cannot do what Expect asks for: deputy knows 100-continue alone; leave it out"
	case http.StatusHTTPVersionNotSupported:
		return "cannot answer this version of HTTP; use HTTP/1.1"
	}
	_, broken := s.heads.half()
	if _, said, found := strings.Cut(reason, ": "); found && broken == "" {
		broken = said
	}
	if broken == "" {
		broken = "it has not the form of one"
	}
	return "cannot read this request: " + broken + "; send each head as RFC 9112 has it"
}

// alone is a whole answer with a problem, without net/http; the connection ends
// behind it.
func alone(status int, detail string) []byte {
	body, err := encode(problemOf(refuse(status, deputy.BadRequest, "%s", detail)))
	if err != nil {
		body = nil
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: %d\r\nContent-Type: application/problem+json\r\n\r\n%s",
		status, http.StatusText(status), len(body), body)
}
