package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"

	"deputy"
	"deputy/internal/strictjson"
	"deputy/internal/wall"
)

// defaultBody is the longest body of an action that declares nothing, and of
// whatever is no action, in bytes.
const defaultBody = 64 << 10

// maxDepth keeps a body's values within what the wall carries; the body's own
// object and a value in the innermost one count there.
const maxDepth = wall.MaxDepth - 2

// maxBody is the longest body of what x is about, in bytes. Which actions there
// are is the caller's to know: one that it may not use has the default.
func (x *exchange) maxBody() (int64, error) {
	if x.peer.remote != nil { // who asks is not known yet
		return max(x.api.Greeting.MaxBody, defaultBody), nil
	}
	if x.target == (name{}) {
		return defaultBody, nil
	}
	if limit, known := x.api.policy.Load().limit(x.target); known {
		return limit, nil
	}
	action, err := x.action()
	if err != nil || action == nil {
		return defaultBody, err
	}
	return action.MaxBody, nil
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
		if err := x.beforeBody(limit); err != nil {
			x.w.Header().Set("Connection", "close")
			return err
		}
	}
	if !tooLarge {
		// What is only announced costs no memory.
		announced := min(max(x.r.ContentLength, 0), defaultBody)
		x.body, err = readAll(make([]byte, 0, announced+1), io.LimitReader(x.r.Body, limit+1))
		tooLarge = int64(len(x.body)) > limit
	}
	switch {
	case tooLarge:
		x.w.Header().Set("Connection", "close") // rather than read what nobody wants
		return deputy.Refuse(deputy.TooLarge, "cannot take this body: it is longer than %d bytes; send less, or the administrator raises the action's max_body", limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(http.StatusRequestTimeout, deputy.BadRequest, "cannot read the body: it did not arrive within %s; send it at once", requestTime)
	case err != nil:
		return badRequest("cannot read the body: it broke off; send as many bytes as Content-Length says")
	case x.peer.remote != nil:
		return nil // seen before it was read
	}
	return x.checkContentType()
}

// readAll appends what r gives to b.
func readAll(b []byte, r io.Reader) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
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

// object reads the body as one JSON object.
func (x *exchange) object() (map[string]any, error) {
	body := x.body
	object, err := strictjson.Object(body, strictjson.Limits{Bytes: max(len(body), 1), Depth: maxDepth})
	if err != nil {
		return nil, deputy.Refuse(deputy.BadJSON, "%v", err)
	}
	if len(body) > wall.MaxName && !fits(object) {
		return nil, deputy.Refuse(deputy.BadJSON, "cannot read JSON: a name or a number is longer than %d bytes; send a shorter one", wall.MaxName)
	}
	return object, nil
}

// fits says whether the wall carries v: see wall.MaxName.
func fits(v any) bool {
	switch v := v.(type) {
	case deputy.Number:
		return len(v) <= wall.MaxName
	case []any:
		for _, item := range v {
			if !fits(item) {
				return false
			}
		}
	case map[string]any:
		for name, item := range v {
			if len(name) > wall.MaxName || !fits(item) {
				return false
			}
		}
	}
	return true
}
