package httpapi

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"deputy"
	"deputy/internal/output"
	"deputy/internal/server/asker"
)

// following reads a stream of the task as it grows.
type following struct {
	*output.Follower
	reader *output.Reader
	info   output.Info // at the beginning
}

func (f *following) close() { f.reader.Close() }

// follow opens a stream from offset on. It waits for the first start of a task
// that has no files yet. nil without an error: there is no file, and none comes.
// x.task is then as it was before the file was looked at.
func (x *exchange) follow(ctx context.Context, stream string, offset int64) (*following, error) {
	for {
		changed := x.api.History.Changed(x.id)
		task, found, err := x.api.History.Task(x.r.Context(), x.id)
		if err != nil {
			return nil, err
		}
		if found {
			x.task = task
		}
		reader, info, err := x.openOutput(stream)
		if err != nil {
			return nil, err
		}
		if reader != nil {
			return &following{x.api.Watcher.Follow(reader, offset, x.end(ctx, stream)), reader, info}, nil
		}
		if x.task.Ended != nil {
			return nil, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// end says when the task has ended, and what is kept of its output then.
func (x *exchange) end(ctx context.Context, stream string) output.End {
	over := make(chan struct{})
	kept := new(atomic.Int64)
	if x.task.Ended != nil {
		kept.Store(bytesOf(&x.task, stream))
		close(over)
	} else {
		go func() {
			if x.api.History.Wait(ctx, x.id) != nil {
				return
			}
			if task, found, err := x.api.History.Task(ctx, x.id); found && err == nil {
				kept.Store(bytesOf(&task, stream))
				close(over)
			}
		}()
	}
	return output.End{Over: over, Kept: kept.Load}
}

// bytesOf is how long an output of a task is that has ended.
func bytesOf(task *deputy.Task, stream string) int64 {
	if stream == output.Stderr {
		return task.StderrBytes
	}
	return task.StdoutBytes
}

// followOutput sends raw bytes, as they come, until the task has ended. A gap
// that arises meanwhile is jumped over; only the other forms can tell of it.
func (x *exchange) followOutput(stream string, offset int64) error {
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	reader, info, err := x.openOutput(stream)
	if err != nil {
		return err
	}
	if reader != nil {
		reader.Close()
	}
	x.describe(info)
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method == http.MethodHead {
		return nil // what a GET begins with is all
	}
	flush := http.NewResponseController(x.w)
	if flush.Flush() != nil {
		return nil
	}
	f, err := x.follow(ctx, stream, offset)
	if err != nil || f == nil {
		return x.breakOff(err)
	}
	defer f.close()
	buf := make([]byte, chunk)
	for {
		n, _, err := f.Next(ctx, buf)
		switch {
		case errors.Is(err, output.ErrRewritten):
			continue
		case isEnd(err):
			return nil
		case err != nil:
			return x.breakOff(err)
		}
		if _, err := x.w.Write(buf[:n]); err != nil || flush.Flush() != nil {
			return nil
		}
	}
}

// breakOff ends an answer that has begun, unless err is nil, so that the client
// sees it is not whole.
func (x *exchange) breakOff(err error) error {
	if err == nil {
		return nil
	}
	if x.r.Context().Err() == nil && !errors.Is(err, asker.ErrPolicyChanged) { // otherwise the client has gone
		x.api.Log.Error("cannot answer to the end", "path", x.r.URL.Path, "error", err)
	}
	panic(http.ErrAbortHandler)
}
