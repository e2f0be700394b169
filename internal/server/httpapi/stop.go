package httpapi

import "net/http"

// stop has the monitor stop a task that the caller sees, and answers once
// nothing of it lives, or with what still does.
func (x *exchange) stop() error {
	outcome, err := x.do()
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
