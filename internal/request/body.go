package request

import (
	"time"

	"deputy"
	"deputy/internal/strictjson"
)

// MaxBody is the longest body of a verb that is no action, in bytes.
const MaxBody = 64 << 10

// DeclaredGrace stands for the grace period that the action declares.
const DeclaredGrace = -1

// stop reads the body of POST /v1/tasks/{id}/stop: {"grace":"5s","force":true}.
func stop(body []byte) (graceMS int64, force bool, err error) {
	object, err := object(body)
	if err != nil {
		return 0, false, err
	}
	graceMS = DeclaredGrace
	for name, value := range object {
		ok := false
		switch name {
		case "grace":
			if graceMS, ok = milliseconds(value); !ok {
				return 0, false, refuse("cannot stop with this grace: it must be a duration like \"5s\" or \"1m30s\", 0 or more")
			}
		case "force":
			if force, ok = value.(bool); !ok {
				return 0, false, refuse("cannot stop with this force: it must be true or false")
			}
		default:
			return 0, false, refuse("cannot use %.50q: a stop takes grace and force", name)
		}
	}
	return graceMS, force, nil
}

// milliseconds reads a duration as Go writes it, rounded up: what is shorter than
// one is no order to send no signal at all.
func milliseconds(value any) (int64, bool) {
	text, _ := value.(string)
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, false
	}
	ms := d.Milliseconds()
	if d > time.Duration(ms)*time.Millisecond {
		ms++
	}
	return ms, true
}

// drain reads the body of POST /v1/drain: {"on":false}, or nothing for true.
func drain(body []byte) (on bool, err error) {
	object, err := object(body)
	if err != nil {
		return false, err
	}
	on = true
	for name, value := range object {
		ok := false
		if on, ok = value.(bool); name != "on" || !ok {
			return false, refuse("cannot drain: the body takes \"on\" alone, true or false")
		}
	}
	return on, nil
}

func object(body []byte) (map[string]any, error) {
	object, err := strictjson.Object(body, strictjson.Limits{Bytes: MaxBody})
	if err != nil {
		return nil, deputy.Refuse(deputy.BadJSON, "%v", err)
	}
	return object, nil
}

func refuse(format string, args ...any) error {
	return deputy.Refuse(deputy.BadRequest, format, args...)
}
