package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The names of a task's outputs.
const (
	Stdout = "stdout"
	Stderr = "stderr"
)

// GapWriter is a writer that is told what it does not get. Other writers are not
// told.
type GapWriter interface {
	io.Writer
	// Gap is called where the bytes [from, to), which are gone, would have come.
	Gap(from, to int64) error
	// Rewritten says that the task itself cut or rewrote its file: what comes
	// now is its new text from the offset at on.
	Rewritten(at int64) error
}

// Follow writes a task's output to w from a byte offset on, until the task has
// ended. It gives the offset after the last byte written: with that offset a
// Follow that broke off can be resumed.
func (c *Client) Follow(ctx context.Context, id, stream string, offset int64, w io.Writer) (int64, error) {
	r := reader{c: c, id: id, stream: stream, offset: offset, w: w}
	return r.run(ctx, pollTime, func(moved, ended bool) bool { return !moved && ended })
}

// Read writes the bytes of a task's output that exist now, as Follow does.
func (c *Client) Read(ctx context.Context, id, stream string, offset int64, w io.Writer) (int64, error) {
	r := reader{c: c, id: id, stream: stream, offset: offset, w: w}
	return r.run(ctx, 0, func(moved, _ bool) bool { return !moved })
}

// reader copies one output by long-polls. Each answer names the offset after
// it, so a lost connection costs nothing but the asking again.
type reader struct {
	c          *Client
	id, stream string
	offset     int64 // of the next byte wanted
	given      bool  // bytes were
	rewritten  bool  // and that the task cut the file was told
	w          io.Writer
	retry      backoff
}

// run polls until done says so of an answer: whether it moved the offset, and
// whether the task had ended when it was given.
func (r *reader) run(ctx context.Context, wait time.Duration, done func(moved, ended bool) bool) (int64, error) {
	for {
		from := r.offset
		ended, err := r.poll(ctx, wait)
		moved := r.offset != from
		if moved || err == nil { // it was answered: what is lost next is lost anew
			r.retry.reset()
		}
		var lost *LostError
		switch {
		case err == nil && done(moved, ended):
			return r.offset, nil
		case err == nil:
			continue
		case !errors.As(err, &lost) || !r.retry.pause(ctx, r.c.Patience, 0):
			return r.offset, err
		}
	}
}

// poll asks once and copies the answer. ended: the task had when it was given.
func (r *reader) poll(ctx context.Context, wait time.Duration) (ended bool, err error) {
	req := get("v1", "tasks", r.id, r.stream)
	req.query = map[string][]string{"offset": {strconv.FormatInt(r.offset, 10)}, "wait": {"0"}}
	if wait > 0 {
		req.wait = wait
		delete(req.query, "wait")
	}
	resp, err := r.c.do(ctx, req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if ended, err = strconv.ParseBool(resp.Header.Get("Deputy-Ended")); err != nil {
		return false, fmt.Errorf("cannot read the daemon's answer: Deputy-Ended: %w", err)
	}
	return ended, r.copy(ctx, resp)
}

// copy writes the answer's bytes, and tells of a gap at its place among them.
func (r *reader) copy(ctx context.Context, resp *http.Response) error {
	next, err := strconv.ParseInt(resp.Header.Get("Deputy-Next-Offset"), 10, 64)
	if err != nil {
		return fmt.Errorf("cannot read the daemon's answer: Deputy-Next-Offset: %w", err)
	}
	switch {
	case next < r.offset:
		return r.rewind(next)
	case resp.Header.Get("Deputy-Rewritten") == "" || r.rewritten:
	case r.given:
		return r.rewind(0) // these bytes follow others than were given
	default:
		if err := r.rewind(r.offset); err != nil {
			return err
		}
	}
	from, to, ok, err := gap(resp.Header)
	if err != nil {
		return err
	}
	if from = max(from, r.offset); ok && from < min(to, next) {
		if err := r.bytes(ctx, resp.Body, from); err != nil {
			return err
		}
		if g, told := r.w.(GapWriter); told {
			if err := g.Gap(from, min(to, next)); err != nil {
				return err
			}
		}
		r.offset = min(to, next)
	}
	return r.bytes(ctx, resp.Body, next)
}

// rewind goes back in a file that the task cut.
func (r *reader) rewind(next int64) error {
	r.offset, r.given, r.rewritten = next, false, true
	if g, told := r.w.(GapWriter); told {
		return g.Rewritten(next)
	}
	return nil
}

// bytes copies up to the offset end.
func (r *reader) bytes(ctx context.Context, src io.Reader, end int64) error {
	if end <= r.offset {
		return nil
	}
	written := &writeErr{w: r.w}
	n, err := io.CopyN(written, src, end-r.offset)
	r.offset += n
	r.given = r.given || n > 0
	switch {
	case written.err != nil:
		return written.err
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return &LostError{err}
	}
	return nil
}

// writeErr keeps what w failed with apart from what reading failed with: only
// the latter is worth another attempt.
type writeErr struct {
	w   io.Writer
	err error
}

func (w *writeErr) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.err = err
	return n, err
}

// gap reads "Deputy-Gap: FIRST-LAST" (both inclusive) as [from, to).
func gap(h http.Header) (from, to int64, ok bool, err error) {
	text := h.Get("Deputy-Gap")
	if text == "" {
		return 0, 0, false, nil
	}
	first, last, _ := strings.Cut(text, "-")
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, 0, false, fmt.Errorf("cannot read the daemon's answer: Deputy-Gap %q: %w", text, err)
	}
	return from, to + 1, true, nil
}
