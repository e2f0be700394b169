package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"deputy/internal/output"
)

// maxPoll is the most bytes of one answer.
const maxPoll = 256 << 10

// poll is the answer to a long-poll.
type poll struct {
	bytes     []byte
	next      int64     // offset to ask for next
	gap       *[2]int64 // what was jumped over to get there
	rewritten bool
}

// pollOutput answers with bytes from offset on, as soon as there are some,
// after wait at the latest. Whether the task has ended was read before the bytes:
// only an answer without bytes that says so is the last.
func (x *exchange) pollOutput(stream string, offset int64, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(x.r.Context(), wait)
	defer cancel()
	f, err := x.follow(ctx, stream, offset)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return x.sendPoll(poll{next: offset})
	case err != nil:
		return err
	case f == nil:
		return x.sendPoll(x.removed(stream, offset))
	}
	defer f.close()
	p, err := x.poll(ctx, f, offset)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
	case errors.Is(err, output.ErrRemoved):
		p = x.removed(stream, p.next)
	case errors.Is(err, io.EOF):
		// Now the state may be told that was not read before the bytes.
		if x.task, _, err = x.api.History.Task(x.r.Context(), x.id); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	return x.sendPoll(p)
}

// poll reads what comes next. With an error the answer holds no bytes.
func (x *exchange) poll(ctx context.Context, f *following, offset int64) (poll, error) {
	p := poll{rewritten: f.info.Rewritten}
	buf := make([]byte, min(max(f.info.Size-offset, 4<<10), maxPoll))
	for {
		n, gap, err := f.Next(ctx, buf)
		switch {
		case gap != nil && p.gap != nil: // it has grown while it was jumped over
			p.gap[1] = gap[1]
		case gap != nil:
			p.gap = gap
		}
		p.next = f.Offset()
		if errors.Is(err, output.ErrRewritten) {
			p.rewritten = true
			return p, nil
		}
		if n > 0 || err != nil {
			p.bytes = buf[:n]
			return p, err
		}
	}
}

// removed is the answer where there is no file: what lay there is a gap.
func (x *exchange) removed(stream string, offset int64) poll {
	size := x.remembered(stream).Size
	if offset >= size {
		return poll{next: offset}
	}
	return poll{next: size, gap: &[2]int64{offset, size}}
}

func (x *exchange) sendPoll(p poll) error {
	x.describe(output.Info{Gap: p.gap, Rewritten: p.rewritten})
	h := x.w.Header()
	h.Set("Deputy-Next-Offset", strconv.FormatInt(p.next, 10))
	h.Set("Content-Length", strconv.Itoa(len(p.bytes)))
	x.w.WriteHeader(http.StatusOK)
	_, _ = x.w.Write(p.bytes)
	return nil
}

// isEnd says whether err is the end of a followed output: all was read, or it
// was removed.
func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, output.ErrRemoved) }
