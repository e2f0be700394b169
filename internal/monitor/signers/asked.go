package signers

import (
	"deputy"
	"deputy/internal/keyvalue"
	"deputy/internal/request"
	"deputy/internal/wall"
)

// What is here is called only with a verified request, and reads it from the very bytes
// that the signature covers, by the readers that the server has, too. What two readers
// could read in two ways is refused.

// legacyCall reads a message that was verified.
func legacyCall(r *wall.Request) (*wall.Request, error) {
	module, _ := keyvalue.Scan(r.Body)
	message, err := keyvalue.Parse(r.Body)
	switch {
	case err != nil:
		return nil, deputy.Refuse(deputy.BadParam, "%v", err)
	case message.Module != module: // two readers must not differ; see Scan
		return nil, deputy.Refuse(deputy.BadParam, "cannot read the message: its module can be read in two ways")
	}
	return callOf(message), nil
}

func callOf(message *keyvalue.Message) *wall.Request {
	return &wall.Request{
		Kind: wall.Call, Module: message.Module, Action: message.Action,
		Key: message.IdempotencyKey, EndUser: message.EndUser, Params: message.Params,
	}
}

// askedFor reads what a verified request asks for.
func (by *trust) askedFor(r *wall.Request, routes request.Table) (*wall.Request, error) {
	if r.Transport == wall.Legacy {
		return legacyCall(r)
	}
	if r.Transport == wall.Line {
		message, err := keyvalue.Parse(r.Body)
		if err != nil {
			return nil, deputy.Refuse(deputy.BadParam, "%v", err)
		}
		if message.Authorization != "" {
			return nil, deputy.Refuse(deputy.BadParam, "cannot read the message: it has two Authorization lines")
		}
		return callOf(message), nil
	}
	at, err := request.ParseTarget(r.Target)
	if err != nil {
		return nil, deputy.Refuse(deputy.BadRequest, "%v", err)
	}
	asked, err := routes.Read(r.Method, at, r.Body, by.maxBody)
	if err != nil {
		return nil, err
	}
	asked.Key, asked.EndUser = r.Key, r.EndUser
	return &asked, nil
}

// maxBody is the longest body for an action, in bytes.
func (by *trust) maxBody(module, action string) int {
	if m := by.set.Modules[module]; m != nil && m.Actions[action] != nil {
		return int(m.Actions[action].MaxBody)
	}
	return request.MaxBody
}
