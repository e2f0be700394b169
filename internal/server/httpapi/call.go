package httpapi

import (
	"context"
	"net/http"
	"slices"
	"time"

	"deputy/internal/request"
	"deputy/internal/server/asker"
	"deputy/internal/wall"
)

// callOptions is what a POST to an action says beyond the action itself.
type callOptions struct {
	asked  wall.Request
	held   bool          // the answer waits for the tasks' ends
	wait   time.Duration // at most so long
	output int64         // last bytes of stdout and stderr to show; -1: none
}

// callAge is how old the sizes of live tasks' outputs may be in the answer to a
// call: where many join one task they are looked up once for all.
const callAge = 100 * time.Millisecond

type taskList struct {
	Tasks []any `json:"tasks"`
}

// call asks the monitor for an action and answers with its tasks. Live tasks,
// and those that have just ended, are in memory: no query is made for them.
func (x *exchange) call() error {
	o, err := x.readCall()
	if err != nil {
		return x.behindAction(err)
	}
	outcome, err := x.ask(o.asked)
	if err != nil {
		return err
	}
	if o.held {
		ctx, cancel := context.WithTimeout(x.r.Context(), o.wait)
		_ = x.api.History.Wait(ctx, outcome.Tasks...) // what has ended is seen below
		cancel()
	}
	tasks, err := x.load(outcome.Tasks, callAge)
	if err != nil {
		return err
	}
	status := http.StatusAccepted
	if o.held && !slices.ContainsFunc(tasks, func(t asker.Shown) bool { return t.Ended == nil }) {
		status = http.StatusOK
	}
	h := x.w.Header()
	if outcome.Replayed {
		h["Idempotency-Replayed"] = []string{"true"}
	}
	if len(tasks) == 1 {
		h["Location"] = []string{"/v1/tasks/" + tasks[0].ID}
	}
	if o.output >= 0 {
		return x.answerWithOutput(status, tasks, o.output)
	}
	return x.answer(status, taskList{forms(tasks)})
}

// readCall reads what the request says; an error is one of status 400.
func (x *exchange) readCall() (o callOptions, err error) {
	values, err := x.at.Only("wait", "output")
	if err != nil {
		return o, err
	}
	if o.wait, o.held, err = x.wait(values); err != nil {
		return o, err
	}
	shown := false
	if o.output, shown, err = number(values, "output"); err != nil {
		return o, err
	}
	if !shown {
		o.output = -1
	}
	key, err := idempotencyKey(x.r.Header["Idempotency-Key"])
	if err != nil {
		return o, err
	}
	if o.asked, err = x.asked(); err != nil {
		return o, err
	}
	o.asked.Key = key
	return o, nil
}

func idempotencyKey(values []string) (string, error) {
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", badRequest("cannot use Idempotency-Key: it stands twice; send it once")
	}
	key := values[0]
	switch {
	case key == "" || len(key) > request.MaxName:
		return "", badRequest("cannot use Idempotency-Key: it has %d characters, not 1 to %d; a UUID serves well", len(key), request.MaxName)
	case !request.IsKey(key):
		return "", badRequest("cannot use Idempotency-Key: it must be visible ASCII without spaces; a UUID serves well")
	}
	return key, nil
}

// behindAction gives what goes before err: that there is no such action, or
// that this caller may not have it.
func (x *exchange) behindAction(err error) error {
	return x.asker.BehindAction(x.r.Context(), x.target.module, x.target.action, err)
}
