package httpapi

import (
	"net/http"

	"deputy"
	"deputy/internal/request"
	"deputy/internal/wall"
)

// listActions shows what this caller may use.
func (x *exchange) listActions() error {
	values, err := x.query("all")
	if err != nil {
		return err
	}
	all := values.Get("all")
	if values.Has("all") && all != "0" && all != "1" {
		return badRequest("cannot list the actions: all is 0 or 1, not %.50q", all)
	}
	list := x.asker.Actions
	if all == "1" {
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
	if _, err := x.query(); err != nil {
		return err
	}
	return x.answer(http.StatusOK, action)
}

// explain says what a call would be told; it is the monitor that knows who
// may hear how much.
func (x *exchange) explain() error {
	values, err := x.query("as")
	if err != nil {
		return x.behindAction(err)
	}
	as := values.Get("as")
	if values.Has("as") && (as == "" || !plausible(as)) {
		return x.behindAction(badRequest("cannot explain as %.50q: name a caller, like uid:33 or key:panel", as))
	}
	object, err := x.object()
	if err != nil {
		return x.behindAction(err)
	}
	explanation, err := x.asker.Explain(x.r.Context(), as, x.target.module, x.target.action, object)
	x.freeBody() // all of it went with this
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, explanation)
}

// reload has the monitor read the policy again.
func (x *exchange) reload() error {
	outcome, err := x.ask(wall.Request{Kind: wall.Reload})
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, map[string]string{"digest": outcome.Digest})
}

// drain has the monitor take nothing new, or take requests again.
func (x *exchange) drain() error {
	if _, err := x.query(); err != nil {
		return err
	}
	on, err := request.Drain(x.body)
	if err != nil {
		return err
	}
	outcome, err := x.ask(wall.Request{Kind: wall.Drain, On: on})
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, outcome.Drain)
}

// upgrade has the programs that now stand at their paths take over. Once it is
// answered it is under way: the end of this server is part of it.
func (x *exchange) upgrade() error {
	outcome, err := x.ask(wall.Request{Kind: wall.Upgrade})
	if err != nil {
		return err
	}
	return x.answer(http.StatusAccepted, outcome.Upgrade)
}
