//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// answerTime is how long an answer may take before all is given up.
const answerTime = 60 * time.Second

// caller is one kept-alive HTTP connection over a Unix socket. It does as little
// as a client can, so that the figures are the server's.
type caller struct {
	conn net.Conn
	in   *bufio.Reader
	body []byte
}

func dial(ctx context.Context, socket string) (*caller, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	return &caller{conn: conn, in: bufio.NewReader(conn)}, nil
}

func (c *caller) close() { c.conn.Close() }

func get(target string) []byte { return []byte("GET " + target + " HTTP/1.1\r\nHost: d\r\n\r\n") }

func post(target, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: d\r\nContent-Length: %d\r\n\r\n%s", target, len(body), body)
}

// ask sends a request and reads the answer, whose body is good until the next.
func (c *caller) ask(request []byte) (status int, body []byte, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return 0, nil, err
	}
	if _, err := c.conn.Write(request); err != nil {
		return 0, nil, err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 12 {
		return 0, nil, fmt.Errorf("cannot read the answer %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil { // HTTP/1.1 200 OK
		return 0, nil, err
	}
	length := 0
	for {
		if line, err = c.in.ReadSlice('\n'); err != nil {
			return 0, nil, err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, nil, err
			}
		}
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	_, err = io.ReadFull(c.in, c.body)
	return status, c.body, err
}

// expect asks and wants one of these statuses. The answer is decoded into v,
// unless that is nil.
func (c *caller) expect(request []byte, v any, statuses ...int) error {
	status, body, err := c.ask(request)
	if err != nil {
		return err
	}
	for _, s := range statuses {
		if s == status && v == nil {
			return nil
		} else if s == status {
			return json.Unmarshal(body, v)
		}
	}
	return fmt.Errorf("%.60q was answered with %d: %.300s", request, status, body)
}

// expectEnded is for answers to a call with ?wait.
func expectEnded(status int, body []byte) error {
	if status != http.StatusOK || !bytes.Contains(body, []byte(`"state":"succeeded"`)) {
		return fmt.Errorf("a task did not succeed: status %d, %.300s", status, body)
	}
	return nil
}

func expectStatus(want int) func(int, []byte) error {
	return func(status int, body []byte) error {
		if status != want {
			return fmt.Errorf("the answer is %d, not %d: %.300s", status, want, body)
		}
		return nil
	}
}

// load is what callers in a closed loop got: each asks again once answered.
type load struct {
	count int
	took  time.Duration
	each  []time.Duration // from a request to its answer
}

func (l load) rate() float64 { return float64(l.count) / l.took.Seconds() }

// closedLoop has callers ask until d is over, or, if most is not 0, until they
// have asked so often together. Every answer must be one that check accepts.
func closedLoop(ctx context.Context, socket string, callers int, d time.Duration, most int,
	request []byte, check func(status int, body []byte) error) (load, error) {
	conns := make([]*caller, callers)
	for i := range conns {
		c, err := dial(ctx, socket)
		if err != nil {
			return load{}, err
		}
		defer c.close()
		if err := c.expect(get("/healthz"), nil, http.StatusOK); err != nil { // the connection is through the door
			return load{}, err
		}
		conns[i] = c
	}
	parts, failed := make([]load, callers), make([]error, callers)
	var wait sync.WaitGroup
	begun := time.Now()
	for i, c := range conns {
		share := 0
		if most > 0 {
			share = (most + i) / callers // they add up to most
		}
		wait.Go(func() { parts[i], failed[i] = c.loop(ctx, begun.Add(d), share, request, check) })
	}
	wait.Wait()
	all := load{took: time.Since(begun)}
	for _, p := range parts {
		all.count += p.count
		all.each = append(all.each, p.each...)
	}
	for _, err := range failed {
		if err != nil { // the others tell the same
			return all, err
		}
	}
	return all, ctx.Err()
}

func (c *caller) loop(ctx context.Context, end time.Time, most int, request []byte, check func(int, []byte) error) (l load, err error) {
	for most == 0 || l.count < most {
		begun := time.Now()
		if begun.After(end) || ctx.Err() != nil {
			return l, nil
		}
		status, body, err := c.ask(request)
		if err != nil {
			return l, err
		}
		l.each = append(l.each, time.Since(begun))
		if err := check(status, body); err != nil {
			return l, err
		}
		l.count++
	}
	return l, nil
}

// idle waits until deputy has no live task.
func (d *daemon) idle(ctx context.Context) error {
	c, err := dial(ctx, d.socket)
	if err != nil {
		return err
	}
	defer c.close()
	for {
		var page struct{ Tasks []json.RawMessage }
		if err := c.expect(get("/v1/tasks?state=queued,awaiting_approval,running,stopping&limit=1"), &page, http.StatusOK); err != nil {
			return err
		}
		if len(page.Tasks) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
