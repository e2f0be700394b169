package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"deputy"
)

// answerTime is how long an answer may take beyond the time it was asked to
// wait. A socket whose server is down still accepts: its backlog waits.
const answerTime = 30 * time.Second

// maxAnswer is the longest JSON answer that is read, in bytes.
const maxAnswer = 256 << 20

// request is one question, in a form that can be sent again.
type request struct {
	method string
	path   []string // joined with "/" after escaping each
	query  url.Values
	header http.Header
	body   []byte
	wait   time.Duration // the answer is held this long at most
	limit  time.Duration // how long an answer may take; 0: wait and answerTime
	once   bool          // asking twice is not the same as asking once
}

func get(path ...string) request { return request{method: http.MethodGet, path: path} }

// target gives the request's target: path and query.
func (r request) target() string {
	u := ""
	for _, p := range r.path {
		u += "/" + url.PathEscape(p)
	}
	query := r.query
	if r.wait > 0 {
		query = url.Values{"wait": {seconds(r.wait)}}
		for k, v := range r.query {
			query[k] = v
		}
	}
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	return u
}

// seconds writes d in whole seconds, rounded up so that a wait is never cut to none.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// do sends r and gives the answer, or the refusal as an error. While asking
// again is harmless a lost connection is tried again for c.Patience.
func (c *Client) do(ctx context.Context, r request) (*http.Response, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	var retry backoff
	for {
		resp, err := c.send(ctx, r)
		if err == nil {
			return resp, nil
		}
		after, again := c.again(r, err)
		if !again || !retry.pause(ctx, c.Patience, after) {
			return nil, err
		}
	}
}

// again says whether asking once more is harmless and may help, and after what
// time the daemon wants to be asked. That nothing could be connected is always
// harmless, but only a daemon that has been there before is worth waiting for.
func (c *Client) again(r request, err error) (after time.Duration, again bool) {
	var unreachable *UnreachableError
	var lost *LostError
	var refused *Error
	switch {
	case errors.As(err, &unreachable):
		return 0, c.met.Load()
	case errors.As(err, &lost):
		return 0, !r.once
	case errors.As(err, &refused) && refused.Refusal.RetryAfter > 0: // it restarts, for one
		after = time.Duration(refused.Refusal.RetryAfter) * time.Second
		return after, refused.Status == http.StatusServiceUnavailable || refused.Status == http.StatusInternalServerError && !r.once
	}
	return 0, false
}

// send makes one attempt. A status of 300 and above is an *Error.
func (c *Client) send(parent context.Context, r request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(parent)
	limit := cmp.Or(r.limit, r.wait+answerTime)
	timer := time.AfterFunc(limit, func() {
		cancel(fmt.Errorf("no answer within %s", limit))
	})
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.target(), bytes.NewReader(r.body))
	if err != nil {
		cancel(nil)
		return nil, refuse(deputy.BadRequest, "cannot ask: the address is none: %v", err)
	}
	for k, v := range r.header {
		req.Header[k] = v
	}
	if c.signer != nil {
		proof := c.signer.sign(req, r.body)
		if err := checkValue("Authorization", proof); err != nil {
			cancel(nil)
			return nil, err
		}
		req.Header.Set("Authorization", proof)
	}
	if r.method == http.MethodGet && c.Stalled != nil {
		answered := make(chan struct{})
		defer close(answered)
		go c.watch(answered, cancel)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		timer.Stop()
		defer cancel(nil)
		return nil, explainSend(parent, ctx, err)
	}
	if !timer.Stop() { // it ran out just now, and took the body with it
		resp.Body.Close()
		return nil, &LostError{context.Cause(ctx)}
	}
	resp.Body = &body{resp.Body, cancel}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, refusal(resp)
	}
	return resp, nil
}

// stalledAfter is how long an answer stays away before Stalled is asked.
const stalledAfter = time.Second

// watch asks Stalled until there is an answer, less and less often.
func (c *Client) watch(answered <-chan struct{}, cancel context.CancelCauseFunc) {
	for wait := stalledAfter; ; wait *= 2 {
		select {
		case <-answered:
			return
		case <-time.After(wait):
		}
		if err := c.Stalled(c.Socket()); err != nil {
			cancel(&stalledError{err})
			return
		}
	}
}

// stalledError is why a read was given up. Asking again would not help.
type stalledError struct{ error }

func (e *stalledError) Unwrap() error { return e.error }

// explainSend says why nothing was answered: the caller gave up, nothing could
// be connected, or a connection was lost.
func explainSend(parent, ctx context.Context, err error) error {
	if parent.Err() != nil {
		return parent.Err()
	}
	cause := context.Cause(ctx)
	if stalled := (*stalledError)(nil); errors.As(cause, &stalled) {
		return stalled
	}
	if cause != nil {
		return &LostError{cause}
	}
	var unreachable *UnreachableError
	if errors.As(err, &unreachable) {
		return unreachable
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return &LostError{err}
}

// body releases the request's context with the answer.
type body struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// ask sends r and decodes the JSON answer into v. An answer that breaks off is
// asked for again, like one that never came.
func (c *Client) ask(ctx context.Context, r request, v any) (*http.Response, error) {
	var retry backoff
	for {
		resp, err := c.do(ctx, r)
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		resp.Body.Close()
		if err == nil {
			return resp, decode(text, v)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if r.once || !retry.pause(ctx, c.Patience, 0) {
			return nil, &LostError{err}
		}
	}
}

// decode keeps numbers as they were written: an int64 does not fit a float64.
func decode(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("cannot read the daemon's answer: %w", err)
	}
	return nil
}

// backoff spaces attempts out, from 20 ms to half a second. The zero value is
// ready, and counts from the first failure.
type backoff struct {
	since time.Time
	next  time.Duration
}

// pause waits before the next attempt, for at least so long. It is false when
// patience or ctx is at its end, or patience would be by then.
func (b *backoff) pause(ctx context.Context, patience, least time.Duration) bool {
	now := time.Now()
	if b.since.IsZero() {
		b.since, b.next = now, 20*time.Millisecond
	}
	if now.Sub(b.since)+least >= patience {
		return false
	}
	timer := time.NewTimer(max(b.next, least))
	defer timer.Stop()
	b.next = min(2*b.next, 500*time.Millisecond)
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// reset begins anew: something arrived.
func (b *backoff) reset() { *b = backoff{} }
