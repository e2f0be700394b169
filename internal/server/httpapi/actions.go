package httpapi

import (
	"cmp"
	"net/http"

	"deputy"
	"deputy/internal/request"
)

// listActions shows what this caller may use.
func (x *exchange) listActions() error {
	all, err := request.All(x.at)
	if err != nil {
		return err
	}
	list := x.asker.Actions
	if all {
		list = x.asker.AllActions
	}
	actions, err := list(x.r.Context())
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, map[string]any{"actions": actions})
}

func (x *exchange) showAction() error {
	action, err := x.asker.Action(x.r.Context(), x.target.module, x.target.action)
	switch {
	case err != nil:
		return err
	case action == nil:
		return deputy.Refuse(deputy.UnknownAction, "cannot show %.31q/%.31q: %s may use no such action; see: deputy actions", x.target.module, x.target.action, x.asker.Caller())
	}
	if _, err := x.at.Only(); err != nil {
		return err
	}
	return x.answer(http.StatusOK, action)
}

// explain says what a call would be told; it is the monitor that knows who
// may hear how much.
func (x *exchange) explain() error {
	asked, err := x.asked()
	if err != nil {
		return x.behindAction(err)
	}
	explanation, err := x.asker.Explain(x.r.Context(), asked.As, asked.Module, asked.Action, asked.Params)
	x.freeBody() // all of it went with this
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, explanation)
}

// verb answers what an operator asks the monitor for as its line has it.
func verb(r *request.Route) func(*exchange) error {
	return func(x *exchange) error {
		outcome, err := x.do()
		if err != nil {
			return err
		}
		return x.answer(cmp.Or(r.Status, http.StatusOK), r.Answer(&outcome))
	}
}
