package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"deputy"
)

// Error is a refusal by the daemon. errors.As finds the *deputy.Error in it.
type Error struct {
	Refusal *deputy.Error
	Status  int // HTTP status; 0: it was refused here, and nothing was sent
}

func (e *Error) Error() string { return e.Refusal.Error() }
func (e *Error) Unwrap() error { return e.Refusal }

// UnreachableError says that no daemon could be connected. Nothing was sent.
type UnreachableError struct{ Tried []Place }

// Place is a socket, or a host and port, that was tried, and why it did not serve.
type Place struct{ Socket, Reason string }

func (e *UnreachableError) Error() string {
	var b strings.Builder
	b.WriteString("cannot reach deputy")
	for i, p := range e.Tried {
		fmt.Fprintf(&b, "%s %s: %s", []string{":", ","}[min(i, 1)], p.Socket, p.Reason)
	}
	return b.String()
}

// LostError says that the connection ended before the answer was whole. What
// was asked for may or may not have been done.
type LostError struct{ Err error }

func (e *LostError) Error() string { return "the connection to deputy was lost: " + e.Err.Error() }
func (e *LostError) Unwrap() error { return e.Err }

// reason takes the innermost cause out of a network error: the words around it
// ("dial unix …: connect:") say nothing that the place does not say.
func reason(err error) string {
	var sys *os.SyscallError
	var op *net.OpError
	var path *os.PathError
	switch {
	case errors.As(err, &sys):
		return sys.Err.Error()
	case errors.As(err, &op):
		return op.Err.Error()
	case errors.As(err, &path):
		return path.Err.Error()
	}
	return err.Error()
}

// maxProblem is the longest problem that is read, in bytes: a reload's 422 may
// list many mistakes.
const maxProblem = 1 << 20

// refusal reads a problem (RFC 9457) from an answer that is not a success.
func refusal(r *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxProblem))
	e := &deputy.Error{}
	if err := json.Unmarshal(body, e); err != nil || e.Code == "" {
		e.Code = codeOf(r.StatusCode)
		if e.Detail == "" {
			e.Detail = fmt.Sprintf("the daemon answered %s: %s", r.Status, strings.TrimSpace(string(body)))
		}
	}
	return &Error{Refusal: e, Status: r.StatusCode}
}

// codeOf guesses the code of an answer that names none: it did not come from
// deputy's own handlers.
func codeOf(status int) deputy.Code {
	switch status {
	case http.StatusUnauthorized:
		return deputy.NotAuthenticated
	case http.StatusForbidden:
		return deputy.NotAllowed
	case http.StatusRequestEntityTooLarge:
		return deputy.TooLarge
	case http.StatusTooManyRequests:
		return deputy.RateLimited
	case http.StatusServiceUnavailable:
		return deputy.NotDurable
	}
	if status >= 500 {
		return deputy.OutcomeUnknown
	}
	return deputy.BadRequest
}
