package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"deputy"
	"deputy/internal/server/share"
)

const defaultBody = share.DefaultBody

// maxBody is the longest body of what x is about, in bytes.
func (x *exchange) maxBody() (int64, error) {
	if x.peer.remote != nil { // who asks is not known yet
		return max(x.api.Greeting.MaxBody, defaultBody), nil
	}
	if x.target == (name{}) {
		return defaultBody, nil
	}
	return x.asker.MaxBody(x.r.Context(), x.target.module, x.target.action, defaultBody)
}

// readBody reads the body of a POST, which must be JSON by its headers. Over TCP
// it reads that of any request, once it carries a signature.
func (x *exchange) readBody() error {
	limit, err := x.maxBody()
	if err != nil {
		return err
	}
	tooLarge := x.r.ContentLength > limit
	if x.peer.remote != nil && !tooLarge {
		if err := x.beforeBody(); err != nil {
			x.w.Header().Set("Connection", "close")
			return err
		}
	}
	within := requestTime
	if !tooLarge {
		within = x.giveTime(limit)
		if err = x.beginBody(); err == nil {
			x.body, err = x.readAll(limit + 1)
		}
		tooLarge = int64(len(x.body)) > limit
	}
	var full *deputy.Error
	switch {
	case errors.As(err, &full):
		x.w.Header().Set("Connection", "close")
		return err
	case tooLarge:
		x.w.Header().Set("Connection", "close") // rather than read what nobody wants
		return deputy.Refuse(deputy.TooLarge, "cannot take this body: it is longer than %d bytes; send less, or the administrator raises the action's max_body", limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(http.StatusRequestTimeout, deputy.BadRequest, "cannot read the body: it did not arrive within %s; send it at once", within)
	case err != nil:
		return badRequest("cannot read the body: it broke off; send as many bytes as Content-Length says")
	case x.peer.remote != nil:
		return nil // beforeBody has looked at its type
	}
	return x.checkContentType()
}

// slowest is how many bytes of a body must come in a second, where max_body takes
// more than the default.
const slowest = 32 << 10

// bodyTime is how long header and body of a request may take that has a body of n bytes.
func bodyTime(n int64) time.Duration {
	if n <= defaultBody {
		return requestTime
	}
	return requestTime + time.Duration(n/slowest)*time.Second
}

// giveTime gives a body the time that its size needs, and says how much that is.
func (x *exchange) giveTime(limit int64) time.Duration {
	n := limit
	if x.r.ContentLength >= 0 {
		n = min(n, x.r.ContentLength)
	}
	within := bodyTime(n)
	if within > requestTime {
		_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(within)) // where it cannot be set, net/http's stays
	}
	return within
}

// readAll reads the body, or so much of it. What is only announced takes no more
// than the default size of the room for bodies.
func (x *exchange) readAll(most int64) ([]byte, error) {
	var body []byte
	next := min(max(x.r.ContentLength+1, 512), defaultBody+1, most)
	for {
		if len(body) == cap(body) {
			if err := x.room.Grow(next); err != nil {
				return nil, err
			}
			body = append(make([]byte, 0, next), body...)
			next = min(2*next, most)
		}
		n, err := x.r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF), int64(len(body)) == most:
			return body, nil
		case err != nil:
			return body, err
		}
	}
}

// freeBody gives back what the body has of the room: the monitor has answered.
func (x *exchange) freeBody() {
	x.body = nil
	x.room.Free()
	if x.sending != nil {
		x.sending()
		x.sending = nil
	}
}

func (x *exchange) checkContentType() error {
	types := x.r.Header["Content-Type"]
	switch {
	case len(x.r.Header["Content-Encoding"]) > 0:
		return refuse(http.StatusUnsupportedMediaType, deputy.BadRequest, "cannot read a body with a Content-Encoding; send it as it is")
	case len(types) == 0, len(types) == 1 && isJSON(types[0]):
		return nil
	}
	return refuse(http.StatusUnsupportedMediaType, deputy.BadRequest,
		"cannot read a body of the type %.100q; send JSON with Content-Type: application/json", strings.Join(types, ", "))
}

func isJSON(contentType string) bool {
	if contentType == "application/json" {
		return true
	}
	media, params, err := mime.ParseMediaType(contentType)
	charset, given := params["charset"]
	return err == nil && media == "application/json" && (!given || strings.EqualFold(charset, "utf-8"))
}
