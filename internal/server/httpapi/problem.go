package httpapi

import (
	"errors"
	"net/http"
	"syscall"

	"deputy"
)

// problem is an error as RFC 9457 has it. The members beyond the RFC's are
// those of deputy.Error: code, task, errors, retry_after, rule.
type problem struct {
	Type   string `json:"type"` // about:blank: the title is the status's
	Title  string `json:"title"`
	Status int    `json:"status"`
	*deputy.Error

	internal bool // not the sender's fault: worth a line in the log
}

// statusError is a refusal whose code does not say the status.
type statusError struct {
	status int
	*refusal
}

// refusal gives the embedded error a name that leaves Error to its method.
type refusal = deputy.Error

func refuse(status int, code deputy.Code, format string, args ...any) error {
	return &statusError{status, deputy.Refuse(code, format, args...)}
}

func badRequest(format string, args ...any) error {
	return deputy.Refuse(deputy.BadRequest, format, args...)
}

// problemOf tells err to the sender. An error that is no refusal is deputy's
// own; its text may name files of the installation and is kept back.
func problemOf(err error) problem {
	p := problem{Type: "about:blank"}
	var status *statusError
	switch {
	case errors.As(err, &status):
		p.Status, p.Error = status.status, status.refusal
	case errors.As(err, &p.Error):
		p.Status = statusOf(p.Code)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOMEM):
		p.internal = true
		p.Status = http.StatusServiceUnavailable
		p.Error = deputy.Refuse(deputy.NotDurable, "cannot answer now: deputy-server has no descriptor or memory left; ask again in a moment, or the administrator raises the limit (LimitNOFILE, ulimit -n)")
	default:
		p.internal = true
		p.Status = http.StatusInternalServerError
		p.Error = deputy.Refuse(deputy.OutcomeUnknown, "cannot answer: deputy-server has failed; its log says why, ask again later")
	}
	p.Title = http.StatusText(p.Status)
	// What this machine lacks will not be there in a moment: no time to come back is told.
	if p.RetryAfter == 0 && p.Code != deputy.CannotEnforce && (p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable) {
		e := *p.Error
		e.RetryAfter = 1
		p.Error = &e
	}
	return p
}

func statusOf(code deputy.Code) int {
	switch code {
	case deputy.BadRequest, deputy.BadJSON:
		return http.StatusBadRequest
	case deputy.NotAuthenticated:
		return http.StatusUnauthorized
	case deputy.NotAllowed:
		return http.StatusForbidden
	case deputy.UnknownAction, deputy.UnknownTask:
		return http.StatusNotFound
	case deputy.Busy, deputy.NotStoppable:
		return http.StatusConflict
	case deputy.TooLarge:
		return http.StatusRequestEntityTooLarge
	case deputy.BadParam, deputy.IdempotencyMismatch:
		return http.StatusUnprocessableEntity
	case deputy.RateLimited:
		return http.StatusTooManyRequests
	case deputy.NotDurable, deputy.CannotEnforce:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
