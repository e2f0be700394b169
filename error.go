package deputy

import "fmt"

// Code names a kind of refusal. The codes are stable: programs may rely on them.
type Code string

const (
	BadRequest          Code = "bad_request"
	BadJSON             Code = "bad_json"
	BadParam            Code = "bad_param"
	NotAuthenticated    Code = "not_authenticated"
	NotAllowed          Code = "not_allowed"
	UnknownAction       Code = "unknown_action"
	UnknownTask         Code = "unknown_task"
	Busy                Code = "busy"
	NotStoppable        Code = "not_stoppable"
	IdempotencyMismatch Code = "idempotency_mismatch"
	TooLarge            Code = "too_large"
	RateLimited         Code = "rate_limited"
	NotDurable          Code = "not_durable"
	OutcomeUnknown      Code = "outcome_unknown"
	CannotEnforce       Code = "cannot_enforce"
)

// Error is a refusal as its sender is told it: what cannot be done, why, and
// what to do next. Each front door maps Code to its own numbers, once.
type Error struct {
	Code       Code         `json:"code"`
	Detail     string       `json:"detail"`                // "cannot X: reason; remedy"
	Task       string       `json:"task,omitempty"`        // Busy, NotStoppable: which task
	Errors     []ParamError `json:"errors,omitempty"`      // BadParam: one for each bad value
	RetryAfter int          `json:"retry_after,omitempty"` // seconds; RateLimited and NotDurable
	Rule       string       `json:"rule,omitempty"`        // for auditors only: what decided
	Missing    string       `json:"missing,omitempty"`     // UnknownAction: "module" or "action"
}

// ParamError says what is wrong with one parameter.
type ParamError struct {
	Param  string `json:"param"`
	Detail string `json:"detail"`
}

func (e *Error) Error() string { return e.Detail }

// Refuse makes an Error of a code and a formatted detail.
func Refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}
