package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"unicode/utf8"

	"deputy"
	"deputy/internal/request"
	"deputy/internal/server/share"
	"deputy/internal/signature"
	"deputy/internal/wall"
)

// exchange is one request and its answer.
type exchange struct {
	w    http.ResponseWriter
	r    *http.Request
	api  *API
	peer *peer

	at      request.Target
	endUser string // for whom the caller asks; empty: none is named
	target  name   // {module} and {action} of the path
	id      string // {id} of the path
	task    deputy.Task
	seen    sight  // how much of it may be shown
	body    []byte // of a POST, and of any request over TCP

	proof   proof         // over TCP: who asks
	counted deputy.Caller // over TCP: it counts among this caller's requests
	who     string        // who sends, for its share of what there is
	room    share.Hold    // what its body has
	sending func()        // gives back its place among long bodies; nil: it has none
	working func()        // gives back its place at work; nil: it has none
}

// done gives back what the request has held.
func (x *exchange) done() {
	if x.counted != "" {
		x.api.keys.add(x.counted, -1)
	}
	x.rest()
	x.freeBody()
	x.peer.done()
}

// ask asks the monitor in the name of this connection. A refusal is the error.
// Over TCP it is the signed request itself that is asked, whatever r is: what
// the signature does not cover is not asked for.
func (x *exchange) ask(r wall.Request) (wall.Outcome, error) {
	r.Connection = x.peer.Number
	now := x.api.policy.Load()
	if x.peer.remote != nil {
		var err error
		if r, err = x.signed(); err != nil {
			return wall.Outcome{}, err
		}
	}
	outcome, err := x.api.Monitor.Do(x.r.Context(), r)
	if x.proof.used || r.Kind == wall.Call || r.Kind == wall.Explain {
		x.freeBody() // all of it went with this
	}
	x.verified(&outcome, now)
	switch {
	case errors.Is(err, context.Canceled): // the client has gone
		return outcome, err
	case err != nil && x.reads(r.Kind):
		return outcome, &deputy.Error{Code: deputy.NotDurable, RetryAfter: 1,
			Detail: "cannot answer this request: deputy was restarted before it did; nothing was changed, ask again in a moment"}
	case err != nil:
		return outcome, &deputy.Error{Code: deputy.OutcomeUnknown, RetryAfter: 1,
			Detail: "cannot say what became of this request: deputy was restarted before it answered; ask again with the same Idempotency-Key, or look at the tasks"}
	case outcome.Error != nil:
		return outcome, outcome.Error
	}
	return outcome, nil
}

// reads says whether what is asked of the monitor changes nothing.
func (x *exchange) reads(k wall.Kind) bool {
	if k == wall.Signed {
		return x.r.Method != http.MethodPost || x.at.Is("v1", "explain", "*", "*")
	}
	return k == wall.Rights || k == wall.Actions || k == wall.Explain
}

// answer sends v as JSON.
func (x *exchange) answer(status int, v any) error {
	if err := x.work(); err != nil {
		return err
	}
	body, err := encode(v)
	x.rest()
	if err != nil {
		return err
	}
	return x.send(status, "application/json", body)
}

func (x *exchange) send(status int, contentType string, body []byte) error {
	h := x.w.Header()
	h["Content-Type"] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // an error means that the client has gone
	return nil
}

// encode writes v as one line of JSON, with <, > and & as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// refuse answers with a problem. A client that has gone is told nothing, least of
// all a status.
func (x *exchange) refuse(err error) {
	x.rest()
	if errors.Is(err, context.Canceled) {
		panic(http.ErrAbortHandler)
	}
	p := problemOf(err)
	if p.Status == http.StatusInternalServerError && p.internal {
		x.api.Log.Error("cannot answer", "method", x.r.Method, "path", x.r.URL.Path, "error", err)
	}
	if p.Status == http.StatusUnauthorized {
		x.w.Header().Set("WWW-Authenticate", signature.Scheme)
	}
	if p.RetryAfter > 0 {
		x.w.Header().Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	body, err := encode(p)
	if err != nil {
		x.api.Log.Error("cannot write a problem", "error", err)
	}
	_ = x.send(p.Status, "application/problem+json", body)
}

// plausible says whether s may cross the wall as a name: a longer or broken one
// would break the protocol, and the monitor ends a server that does that.
func plausible(s string) bool { return len(s) <= maxName && utf8.ValidString(s) }

// maxName is the longest name that anything has, in bytes.
const maxName = 255
