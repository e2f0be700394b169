package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"deputy"
)

// Actions gives all actions that this caller may use.
func (c *Client) Actions(ctx context.Context) ([]deputy.ActionInfo, error) {
	var answer struct{ Actions []deputy.ActionInfo }
	_, err := c.ask(ctx, get("v1", "actions"), &answer)
	return answer.Actions, err
}

// AllActions gives every action, with who may use it: for auditors.
func (c *Client) AllActions(ctx context.Context) ([]deputy.ActionInfo, error) {
	var answer struct{ Actions []deputy.ActionInfo }
	r := get("v1", "actions")
	r.query = url.Values{"all": {"1"}}
	_, err := c.ask(ctx, r, &answer)
	return answer.Actions, err
}

// Action gives one action.
func (c *Client) Action(ctx context.Context, module, action string) (*deputy.ActionInfo, error) {
	a := &deputy.ActionInfo{}
	if _, err := c.ask(ctx, get("v1", "actions", module, action), a); err != nil {
		return nil, err
	}
	return a, nil
}

// Explain says whether this caller may have an action with these values (as
// in Call), and to those who may know it what would run. It runs nothing. An
// auditor may ask for another caller.
func (c *Client) Explain(ctx context.Context, module, action string, params any, as deputy.Caller) (*deputy.Explanation, error) {
	body, err := encode(params)
	if err != nil {
		return nil, err
	}
	r := request{
		method: http.MethodPost,
		path:   []string{"v1", "explain", module, action},
		header: jsonHeader(),
		body:   body,
	}
	if as != "" {
		r.query = url.Values{"as": {string(as)}}
	}
	answer := &deputy.Explanation{}
	if _, err := c.ask(ctx, r, answer); err != nil {
		return nil, err
	}
	return answer, nil
}

// Reload has the daemon read its policy again, and gives the digest of the one
// now in force. A policy with mistakes is an *Error with status 422; the old
// one then stays.
func (c *Client) Reload(ctx context.Context) (digest string, err error) {
	var answer struct{ Digest string }
	_, err = c.ask(ctx, request{method: http.MethodPost, path: []string{"v1", "reload"}}, &answer)
	return answer.Digest, err
}

// Drain has the daemon take nothing new, or with false take requests again, and
// says how many tasks live. What was accepted runs on. For operators; asking
// again changes nothing.
func (c *Client) Drain(ctx context.Context, on bool) (*deputy.Drain, error) {
	body, err := encode(map[string]bool{"on": on})
	if err != nil {
		return nil, err
	}
	d := &deputy.Drain{}
	_, err = c.ask(ctx, request{method: http.MethodPost, path: []string{"v1", "drain"}, header: jsonHeader(), body: body}, d)
	return d, err
}

// Queues tells how the queues stand that the caller may know of: those of the actions
// that it may use, and to auditors and operators all.
func (c *Client) Queues(ctx context.Context) ([]deputy.Queue, error) {
	var answer struct{ Queues []deputy.Queue }
	_, err := c.ask(ctx, request{method: http.MethodGet, path: []string{"v1", "queues"}}, &answer)
	return answer.Queues, err
}

// PauseQueue has nobody who waits in a queue begin, or with false begin again, and
// says how the queue stands. What runs in it runs on. For operators; asking again
// changes nothing.
func (c *Client) PauseQueue(ctx context.Context, name string, paused bool) (*deputy.Queue, error) {
	body, err := encode(map[string]bool{"paused": paused})
	if err != nil {
		return nil, err
	}
	q := &deputy.Queue{}
	_, err = c.ask(ctx, request{method: http.MethodPost, path: []string{"v1", "queues", name}, header: jsonHeader(), body: body}, q)
	return q, err
}

// Upgrade has the daemon execute the programs that now stand at their paths, and
// gives the old and the new version. It is under way then, and over once Health
// names another time of Started. New programs that cannot take over are an *Error
// with status 422; the old ones then go on.
func (c *Client) Upgrade(ctx context.Context) (from, to string, err error) {
	var answer struct{ From, To string }
	_, err = c.ask(ctx, request{method: http.MethodPost, path: []string{"v1", "upgrade"}}, &answer)
	return answer.From, answer.To, err
}

// Health is what the daemon says of itself to anybody. All but the first two
// may be missing.
type Health struct {
	Status    string          `json:"status"`   // "ok"; "draining" or "refusing": nothing new is accepted
	Refusing  string          `json:"refusing"` // why
	Version   string          `json:"version"`
	Started   string          `json:"started"`  // when the monitor began
	Proof     string          `json:"proof"`    // what "nothing lives" rests on: "cgroup" or "subreaper"
	Weakness  string          `json:"weakness"` // which promise is weaker here, and the remedy
	StateDir  string          `json:"state_dir"`
	ConfigDir string          `json:"config_dir"`
	Policy    string          `json:"policy"`      // digest of the policy in force
	Draining  bool            `json:"draining"`    // nothing new is taken
	LogLost   uint64          `json:"log_dropped"` // lines of deputy's own log that could not be written
	Raw       json.RawMessage `json:"-"`
}

// Health asks whether the daemon is there.
func (c *Client) Health(ctx context.Context) (*Health, error) {
	h := &Health{}
	var raw json.RawMessage
	if _, err := c.ask(ctx, get("healthz"), &raw); err != nil {
		return nil, err
	}
	h.Raw = raw
	return h, decode(raw, h)
}
