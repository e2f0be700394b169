package request

import (
	"strings"

	"deputy"
	"deputy/internal/wall"
)

// Read reads what a request asks the monitor for, by which the server asks over
// the wall, and the monitor does what is signed. What only the answer's form
// depends on is not read here. Of a read it is who may see what: the server serves
// it, and has to know for whom. limit is the longest body for an action, in bytes;
// nil: body was held against it before.
func Read(method string, at Target, body []byte, limit func(module, action string) int) (asked wall.Request, err error) {
	if method != "POST" {
		return readRead(at)
	}
	switch {
	case at.Is("v1", "actions", "*", "*"):
		asked.Kind = wall.Call
		err = readAction(&asked, at, body, limit)
	case at.Is("v1", "explain", "*", "*"):
		asked.Kind = wall.Explain
		if asked.As, err = as(at); err == nil {
			err = readAction(&asked, at, body, limit)
		}
	case at.Is("v1", "tasks", "*", "stop"):
		asked.Kind, asked.Task = wall.Stop, at.Path[2]
		if _, err = at.Only(); err == nil {
			asked.GraceMS, asked.Force, err = Stop(body)
		}
	case at.Is("v1", "reload"):
		asked.Kind = wall.Reload
	case at.Is("v1", "upgrade"):
		asked.Kind = wall.Upgrade
	case at.Is("v1", "drain"):
		asked.Kind = wall.Drain
		if _, err = at.Only(); err == nil {
			asked.On, err = Drain(body)
		}
	default:
		err = deputy.Refuse(deputy.UnknownAction, "cannot do POST %.100q: there is no such path", "/"+strings.Join(at.Path, "/"))
	}
	return asked, err
}

func readRead(at Target) (asked wall.Request, err error) {
	asked.Kind = wall.Rights
	switch {
	case at.Is("v1", "actions"):
		asked.Kind = wall.Actions
		asked.All, err = All(at)
	case at.Is("v1", "actions", "*", "*"):
		asked.Kind = wall.Actions
	}
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

func readAction(asked *wall.Request, at Target, body []byte, limit func(module, action string) int) (err error) {
	asked.Module, asked.Action = at.Path[2], at.Path[3]
	if err := CheckAction(asked.Module, asked.Action); err != nil {
		return err
	}
	most := len(body)
	if limit != nil {
		most = limit(asked.Module, asked.Action)
	}
	asked.Params, err = params(body, most)
	return err
}

// CheckAction refuses names that cannot be those of an action.
func CheckAction(module, action string) error {
	if IsName(module) && IsName(action) {
		return nil
	}
	return deputy.Refuse(deputy.UnknownAction, "cannot find %.31q/%.31q: no action is named so; see: deputy actions", module, action)
}
