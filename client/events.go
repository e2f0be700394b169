package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"deputy"
)

// Event is a journal record that this caller may see, and its text as it came.
type Event struct {
	deputy.Event
	Raw json.RawMessage
}

// Events calls f for each event, until f or ctx ends it: those after the
// sequence number *after, or with nil those from now on. A lost connection is
// made again, and no event is given twice or, once one was given, left out.
func (c *Client) Events(ctx context.Context, after *uint64, f func(Event) error) error {
	var retry backoff
	for {
		before := after
		err := c.stream(ctx, &after, f)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if after != before {
			retry.reset()
		}
		var lost *LostError
		if !errors.As(err, &lost) || !retry.pause(ctx, c.Patience, 0) {
			return err
		}
	}
}

// stream reads one connection's events; after is kept at the last one given.
// It never returns nil: the end of the stream is a *LostError.
func (c *Client) stream(ctx context.Context, after **uint64, f func(Event) error) error {
	r := get("v1", "events")
	r.header = http.Header{"Accept": {"text/event-stream"}}
	if *after != nil {
		r.header.Set("Last-Event-ID", strconv.FormatUint(**after, 10))
	}
	resp, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return messages(resp.Body, func(id, data string) error {
		if data == "" {
			return nil
		}
		e := Event{Raw: json.RawMessage(data)}
		if err := decode(e.Raw, &e.Event); err != nil {
			return fmt.Errorf("event %s: %w", id, err)
		}
		if seq, err := strconv.ParseUint(id, 10, 64); err == nil {
			*after = &seq
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
	return &LostError{io.ErrUnexpectedEOF}
}
