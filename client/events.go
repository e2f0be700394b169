package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"deputy"
)

// Event is a journal record that this caller may see, and its text as it came.
type Event struct {
	deputy.Event
	Raw json.RawMessage
}

// EventQuery picks events. The zero value is those from now on.
type EventQuery struct {
	After    *uint64   // behind this sequence number
	Since    time.Time // or since this time
	NoFollow bool      // up to now alone
}

// Events calls f for each event, until f or ctx ends it: those after the
// sequence number *after, or with nil those from now on. A lost connection is
// made again, and no event is given twice or, once one was given, left out.
func (c *Client) Events(ctx context.Context, after *uint64, f func(Event) error) error {
	return c.EventsOf(ctx, EventQuery{After: after}, f)
}

// EventsOf is Events for those that q picks.
func (c *Client) EventsOf(ctx context.Context, q EventQuery, f func(Event) error) error {
	var retry backoff
	for {
		err := c.stream(ctx, &q, &retry, f)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errWhole) && q.NoFollow:
			return nil
		}
		var lost *LostError
		if !errors.As(err, &lost) || !retry.pause(ctx, c.Patience, 0) {
			return err
		}
	}
}

// stream reads one connection's events; q.After is kept at the last one given.
// It never returns nil: the end of the stream is a *LostError.
// Once it is answered, what is lost next is lost anew.
func (c *Client) stream(ctx context.Context, q *EventQuery, retry *backoff, f func(Event) error) error {
	r := get("v1", "events")
	r.query = url.Values{}
	if !q.Since.IsZero() {
		r.query.Set("since", deputy.Time{Time: q.Since}.String())
	}
	if q.NoFollow {
		r.query.Set("follow", "0")
	}
	r.header = http.Header{"Accept": {"text/event-stream"}}
	if q.After != nil {
		r.header.Set("Last-Event-ID", strconv.FormatUint(*q.After, 10))
	}
	resp, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	retry.reset()
	return messages(resp.Body, func(id, data string) error {
		if data == "" {
			return nil
		}
		e := Event{Raw: json.RawMessage(data)}
		if err := decode(e.Raw, &e.Event); err != nil {
			return fmt.Errorf("event %s: %w", id, err)
		}
		if seq, err := strconv.ParseUint(id, 10, 64); err == nil {
			q.After = &seq
		}
		return f(e)
	})
}

// maxMessage is the longest line of an event stream, in bytes: a policy record
// holds whole files.
const maxMessage = 64 << 20

// messages calls f for each message of an event stream (the HTML standard,
// section 9.2.6). A message that the end cut off is not given.
func messages(src io.Reader, f func(id, data string) error) error {
	lines := bufio.NewScanner(src)
	lines.Buffer(make([]byte, 0, 64<<10), maxMessage)
	var id string
	var data []string
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			if data == nil {
				continue
			}
			if err := f(id, strings.Join(data, "\n")); err != nil {
				return err
			}
			data = nil
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			id = value
		case "data":
			data = append(data, value)
		}
	}
	if err := lines.Err(); err != nil {
		return &LostError{err}
	}
	return &LostError{errWhole}
}

// errWhole is the end of a stream that was ended, and did not break off.
var errWhole = errors.New("the server ended it")
