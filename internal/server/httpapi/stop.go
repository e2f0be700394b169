package httpapi

import (
	"net/http"
	"time"

	"deputy/internal/wall"
)

// stop has the monitor stop a task that the caller sees, and answers once
// nothing of it lives, or with what still does.
func (x *exchange) stop() error {
	grace, force, err := x.readStop()
	if err != nil {
		return err
	}
	outcome, err := x.ask(wall.Request{Kind: wall.Stop, Task: x.id, GraceMS: grace, Force: force, EndUser: x.endUser})
	if err != nil {
		return err
	}
	if x.peer.remote != nil { // now it is known who asks
		if err := x.findTask(); err != nil {
			return err
		}
	}
	tasks, err := x.load([]string{x.id}, 0)
	if err != nil {
		return err
	}
	task, status := tasks[0], http.StatusOK
	if outcome.Survives {
		status = http.StatusAccepted
		if task.Stop == nil {
			task.Stop = outcome.Receipt
		}
	}
	return x.answer(status, task)
}

// declaredGrace is the wall's word for the grace period that the action declares.
const declaredGrace = -1

func (x *exchange) readStop() (graceMS int64, force bool, err error) {
	if _, err := x.query(); err != nil {
		return 0, false, err
	}
	object, err := x.object()
	if err != nil {
		return 0, false, err
	}
	graceMS = declaredGrace
	for name, value := range object {
		ok := false
		switch name {
		case "grace":
			graceMS, ok = milliseconds(value)
			if !ok {
				return 0, false, badRequest("cannot stop with this grace: it must be a duration like \"5s\" or \"1m30s\", 0 or more")
			}
		case "force":
			force, ok = value.(bool)
			if !ok {
				return 0, false, badRequest("cannot stop with this force: it must be true or false")
			}
		default:
			return 0, false, badRequest("cannot use %.50q: a stop takes grace and force", name)
		}
	}
	return graceMS, force, nil
}

// milliseconds reads a duration as Go writes it, rounded up.
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
