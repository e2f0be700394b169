package request

import (
	"deputy"
	"deputy/internal/wall"
)

func readList(at Target, _ []byte, _ Limit) (asked wall.Request, err error) {
	asked.All, err = All(at)
	return asked, err
}

// All reads the query of GET /v1/actions: all=1, all=0, or nothing for that.
func All(at Target) (bool, error) {
	values, err := at.Only("all")
	if err != nil {
		return false, err
	}
	all := values.Get("all")
	if values.Has("all") && all != "0" && all != "1" {
		return false, refuse("cannot list the actions: all is 0 or 1, not %.50q", all)
	}
	return all == "1", nil
}

// as reads the query of POST /v1/explain: as=CALLER, or nothing.
func as(at Target) (string, error) {
	values, err := at.Only("as")
	if err != nil {
		return "", err
	}
	caller := values.Get("as")
	if values.Has("as") && (caller == "" || !plausible(caller)) {
		return "", refuse("cannot explain as %.50q: name a caller, like uid:33 or key:panel", caller)
	}
	return caller, nil
}

func readExplain(at Target, body []byte, limit Limit) (asked wall.Request, err error) {
	caller, err := as(at)
	if err != nil {
		return asked, err
	}
	asked, err = readAction(at, body, limit)
	asked.As = caller
	return asked, err
}

func readAction(at Target, body []byte, limit Limit) (asked wall.Request, err error) {
	asked.Module, asked.Action = at.Path[2], at.Path[3]
	if err := CheckAction(asked.Module, asked.Action); err != nil {
		return asked, err
	}
	most := len(body)
	if limit != nil {
		most = limit(asked.Module, asked.Action)
	}
	asked.Params, err = params(body, most)
	return asked, err
}

func readStop(at Target, body []byte, _ Limit) (asked wall.Request, err error) {
	asked.Task = at.Path[2]
	if _, err = at.Only(); err == nil {
		asked.GraceMS, asked.Force, err = stop(body)
	}
	return asked, err
}

func readDrain(at Target, body []byte, _ Limit) (asked wall.Request, err error) {
	if _, err = at.Only(); err == nil {
		asked.On, err = drain(body)
	}
	return asked, err
}

// CheckAction refuses names that cannot be those of an action.
func CheckAction(module, action string) error {
	if IsName(module) && IsName(action) {
		return nil
	}
	return deputy.Refuse(deputy.UnknownAction, "cannot find %.31q/%.31q: no action is named so; see: deputy actions", module, action)
}

// readNothing reads what has neither query nor body.
func readNothing(at Target, _ []byte, _ Limit) (asked wall.Request, err error) {
	_, err = at.Only()
	return asked, err
}

// readPause reads POST /v1/queues/{name}: {"paused":true}.
func readPause(at Target, body []byte, _ Limit) (asked wall.Request, err error) {
	if _, err := at.Only(); err != nil {
		return asked, err
	}
	asked.Queue = at.Path[2]
	if !IsName(asked.Queue) {
		return asked, refuse("cannot pause %.50q: that is no queue's name; see: deputy queue", asked.Queue)
	}
	object, err := object(body)
	if err != nil {
		return asked, err
	}
	paused, ok := object["paused"].(bool)
	if !ok || len(object) != 1 {
		return asked, refuse("cannot pause or resume a queue: the body is {\"paused\":true} or {\"paused\":false}")
	}
	asked.On = paused
	return asked, nil
}
