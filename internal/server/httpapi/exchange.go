package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"deputy"
	"deputy/internal/request"
	"deputy/internal/server/asker"
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

	asker  asker.Asker
	at     request.Target
	target name   // {module} and {action} of the path
	id     string // {id} of the path
	task   deputy.Task
	seen   asker.Sight // how much of it may be shown
	body   []byte      // of a POST, and of any request over TCP

	proof   proof      // over TCP: who asks
	room    share.Hold // what its body has
	sending func()     // gives back its place among long bodies; nil: it has none
	working func()     // gives back its place at work; nil: it has none
}

// done gives back what the request has held.
func (x *exchange) done() {
	x.asker.End()
	x.rest()
	x.freeBody()
	x.peer.done()
}

// ask asks the monitor in the asker's name. A refusal is the error.
func (x *exchange) ask(r wall.Request) (wall.Outcome, error) {
	outcome, err := x.asker.Ask(x.r.Context(), r)
	if x.peer.remote != nil || r.Kind == wall.Call {
		x.freeBody() // all of it went with this
	}
	return outcome, err
}

// asked reads what the request asks the monitor for.
func (x *exchange) asked() (wall.Request, error) {
	if len(x.body) > cheapBody {
		if err := x.work(); err != nil {
			return wall.Request{}, err
		}
		defer x.rest()
	}
	body := x.body
	if x.peer.remote == nil { // its values are enough, and it may be large; over TCP it is passed on
		x.body = nil
	}
	return x.api.Asks.Read(x.r.Method, x.at, body, nil)
}

// do asks the monitor for what the request asks for.
func (x *exchange) do() (wall.Outcome, error) {
	asked, err := x.asked()
	if err != nil {
		return wall.Outcome{}, err
	}
	return x.ask(asked)
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
