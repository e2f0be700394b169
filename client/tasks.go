package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"deputy"
)

// Task is a task as the daemon shows it. The last three are set only by a Call
// that asked for output.
type Task struct {
	deputy.Task
	Stdout    *string `json:"stdout,omitempty"` // its last Options.Output bytes
	Stderr    *string `json:"stderr,omitempty"`
	Truncated *bool   `json:"truncated,omitempty"` // there was more
}

// Options of a Call. The zero value asks and does not wait.
type Options struct {
	// IdempotencyKey makes asking again the same as asking once, for 24 hours:
	// 1 to 255 visible ASCII characters. With it a lost answer is asked for again.
	IdempotencyKey string
	EndUser        string        // for whom; only from a caller that is trusted to say so
	Wait           time.Duration // hold the answer until all tasks have ended, at most this long
	Output         int           // with Wait: the last bytes of stdout and stderr, for each task
}

// Call asks for an action. params is a deputy.Params or whatever else marshals
// as one JSON object; a json.RawMessage is sent as it is, and nil is none. The
// tasks are durable when it returns; tasks[i] belongs to item i of a for_each.
// A *LostError means that the outcome is not known.
func (c *Client) Call(ctx context.Context, module, action string, params any, o Options) ([]Task, error) {
	tasks, _, err := c.call(ctx, module, action, params, o)
	return tasks, err
}

// call is Call; it gives the answer's status, too: 200 once all have ended.
func (c *Client) call(ctx context.Context, module, action string, params any, o Options) ([]Task, int, error) {
	body, err := encode(params)
	if err != nil {
		return nil, 0, err
	}
	r := request{
		method: http.MethodPost,
		path:   []string{"v1", "actions", module, action},
		query:  url.Values{},
		header: jsonHeader(),
		body:   body,
		wait:   o.Wait,
		once:   o.IdempotencyKey == "",
	}
	if o.IdempotencyKey != "" {
		r.header.Set("Idempotency-Key", o.IdempotencyKey)
	}
	if o.EndUser != "" {
		r.header.Set("Deputy-End-User", o.EndUser)
	}
	if o.Output > 0 {
		r.query.Set("output", strconv.Itoa(o.Output))
	}
	var answer struct{ Tasks []Task }
	resp, err := c.ask(ctx, r, &answer)
	if err != nil {
		return nil, 0, err
	}
	return answer.Tasks, resp.StatusCode, nil
}

func jsonHeader() http.Header { return http.Header{"Content-Type": {"application/json"}} }

// encode writes params as JSON. A deputy.Number stands for a JSON number.
func encode(params any) ([]byte, error) {
	switch p := params.(type) {
	case nil:
		return []byte("{}"), nil
	case json.RawMessage:
		if n := goodText(string(p)); n < len(p) {
			return nil, refuse(deputy.BadJSON, "cannot send the params: they are not UTF-8 from byte %d on", n)
		}
		return p, nil
	case deputy.Params:
		params = jsonValue(map[string]any(p))
	}
	if err := checkText(params); err != nil {
		return nil, err
	}
	body, err := json.Marshal(params)
	if err != nil {
		return nil, refuse(deputy.BadParam, "cannot write the params: %v", err)
	}
	return body, nil
}

// jsonValue gives v with each deputy.Number as a number of encoding/json.
func jsonValue(v any) any {
	switch v := v.(type) {
	case deputy.Number:
		return json.Number(v)
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = jsonValue(item)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(v))
		for name, item := range v {
			object[name] = jsonValue(item)
		}
		return object
	}
	return v
}

// Task gives one task. With wait the answer is held until it has ended, at most
// this long.
func (c *Client) Task(ctx context.Context, id string, wait time.Duration) (*deputy.Task, error) {
	r := get("v1", "tasks", id)
	r.wait = wait
	task := &deputy.Task{}
	if _, err := c.ask(ctx, r, task); err != nil {
		return nil, err
	}
	return task, nil
}

// Wait gives a task once it has ended, however long that takes.
func (c *Client) Wait(ctx context.Context, id string) (*deputy.Task, error) {
	for {
		task, err := c.Task(ctx, id, pollTime)
		if err != nil || task.Ended != nil {
			return task, err
		}
	}
}

// pollTime is how long one long-poll is held.
const pollTime = 25 * time.Second

// Query picks tasks. An empty member does not restrict.
type Query struct {
	States         []deputy.State // any one of them
	Module, Action string
	Lock           *string
	Caller         deputy.Caller
	EndUser        string
	Since          time.Time
	Limit          int    // at most so many in one page
	Cursor         string // a former page's Next
}

// Page is a part of a list, newest first. It may hold fewer than Query.Limit.
type Page struct {
	Tasks []deputy.Task `json:"tasks"`
	Next  *string       `json:"next"` // null: this was the last
}

// Tasks gives one page of the tasks that this caller may see.
func (c *Client) Tasks(ctx context.Context, q Query) (*Page, error) {
	r := get("v1", "tasks")
	r.query = q.values()
	page := &Page{}
	if _, err := c.ask(ctx, r, page); err != nil {
		return nil, err
	}
	return page, nil
}

func (q Query) values() url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	for _, s := range q.States {
		v.Add("state", string(s))
	}
	set("module", q.Module)
	set("action", q.Action)
	if q.Lock != nil {
		v.Set("lock", *q.Lock)
	}
	set("caller", string(q.Caller))
	set("end_user", q.EndUser)
	if !q.Since.IsZero() {
		set("since", deputy.Time{Time: q.Since}.String())
	}
	if q.Limit > 0 {
		set("limit", strconv.Itoa(q.Limit))
	}
	set("cursor", q.Cursor)
	return v
}

// Each calls f for each task that q picks, newest first, page after page, until
// f is false.
func (c *Client) Each(ctx context.Context, q Query, f func(*deputy.Task) bool) error {
	for {
		page, err := c.Tasks(ctx, q)
		if err != nil {
			return err
		}
		for i := range page.Tasks {
			if !f(&page.Tasks[i]) {
				return nil
			}
		}
		if page.Next == nil {
			return nil
		}
		q.Cursor = *page.Next
	}
}

// StopOptions of a Stop. The zero value stops as the action declares it.
type StopOptions struct {
	Grace *time.Duration // shorter than the declared one
	Force bool           // operators: also what is declared not stoppable
}

// maxStop is how long a stop's answer may take: an action may declare a long
// grace period, and the answer comes only when nothing lives.
const maxStop = 24 * time.Hour

// Stop ends a task and all that it started. The task that it gives holds the
// receipt; its Empty is false if something outlived the kill by five seconds.
func (c *Client) Stop(ctx context.Context, id string, o StopOptions) (*deputy.Task, error) {
	r := request{
		method: http.MethodPost,
		path:   []string{"v1", "tasks", id, "stop"},
		header: jsonHeader(),
		limit:  maxStop,
	}
	ask := map[string]any{}
	if o.Grace != nil {
		ask["grace"] = o.Grace.String()
	}
	if o.Force {
		ask["force"] = true
	}
	r.body, _ = json.Marshal(ask)
	task := &deputy.Task{}
	if _, err := c.ask(ctx, r, task); err != nil {
		return nil, err
	}
	return task, nil
}
