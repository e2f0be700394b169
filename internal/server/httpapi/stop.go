package httpapi

import (
	"net/http"

	"deputy/internal/request"
	"deputy/internal/wall"
)

// stop has the monitor stop a task that the caller sees, and answers once
// nothing of it lives, or with what still does.
func (x *exchange) stop() error {
	grace, force, err := x.readStop()
	if err != nil {
		return err
	}
	outcome, err := x.ask(wall.Request{Kind: wall.Stop, Task: x.id, GraceMS: grace, Force: force})
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
	return x.answer(status, task.Form())
}

func (x *exchange) readStop() (graceMS int64, force bool, err error) {
	if _, err := x.query(); err != nil {
		return 0, false, err
	}
	return request.Stop(x.body)
}
