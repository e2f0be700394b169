package lineproto

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"deputy"
)

// maxAnswer is what the original's clients read, in one go: recv(8192).
const maxAnswer = 8192

// The original's numbers of refusals, and ours behind them.
const (
	noSuchAction     = 1
	notAccepted      = 2
	notAuthenticated = 3 // or no action is given
	noSuchModule     = 4
	badParameter     = 5
	notAllowed       = 6
	busy             = 7
)

// errNoAction has a number of its own, see number.
var errNoAction = &deputy.Error{Code: deputy.BadRequest, Detail: `cannot read the message: no action is given; add a line "action: NAME"`}

// answer is what a message is answered with.
type answer struct {
	action  string   // of what was accepted
	tasks   []string // its tasks' ids
	refusal *deputy.Error
}

func refused(e *deputy.Error) answer { return answer{refusal: e} }

// bytes gives the one JSON object, with the spaces that the original wrote. Ids
// that it would be too long with are left out.
func (a answer) bytes() []byte {
	if a.refusal != nil {
		return a.refusalBytes()
	}
	var b bytes.Buffer
	b.WriteString(`{"success": true, "msg": ` + quote(a.action+" ok"))
	if ids := a.ids(); b.Len()+len(ids)+2 <= maxAnswer {
		b.WriteString(ids)
	}
	b.WriteString("}\n")
	return b.Bytes()
}

func (a answer) ids() string {
	quoted := make([]string, len(a.tasks))
	for i, id := range a.tasks {
		quoted[i] = quote(id)
	}
	return `, "tasks": [` + strings.Join(quoted, ", ") + "]"
}

func (a answer) refusalBytes() []byte {
	detail := a.refusal.Detail
	for {
		number := string(rune('0' + number(a.refusal)))
		text := `{"success": false, "msg": {"err_code": ` + number + `, "code": ` + quote(string(a.refusal.Code)) + `, "detail": ` + quote(detail) + a.retry() + "}}\n"
		if len(text) <= maxAnswer {
			return []byte(text)
		}
		detail = strings.ToValidUTF8(detail[:len(detail)/2], "") + "…"
	}
}

// retry says when to ask again, of what passes.
func (a answer) retry() string {
	if e := a.refusal; e.RetryAfter > 0 && (e.Code == deputy.NotDurable || e.Code == deputy.OutcomeUnknown) {
		return `, "retry_after": ` + strconv.Itoa(e.RetryAfter)
	}
	return ""
}

// quote writes a JSON string, with <, > and & as they are.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string can always be encoded
	return strings.TrimSuffix(b.String(), "\n")
}

// number gives the err_code of a refusal.
func number(e *deputy.Error) int {
	switch {
	case e == errNoAction, e.Code == deputy.NotAuthenticated:
		return notAuthenticated
	case e.Code == deputy.UnknownAction && e.Missing == "module":
		return noSuchModule
	}
	switch e.Code {
	case deputy.UnknownAction:
		return noSuchAction
	case deputy.NotAllowed:
		return notAllowed
	case deputy.Busy:
		return busy
	case deputy.BadRequest, deputy.BadJSON, deputy.BadParam, deputy.TooLarge, deputy.IdempotencyMismatch:
		return badParameter
	}
	return notAccepted // it was not accepted, or nobody knows whether it was
}
