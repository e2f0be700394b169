package httpapi

import (
	"context"
	"errors"
	"net/http"

	"deputy/internal/output"
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
			return &following{x.api.Watcher.Follow(reader, offset, x.ended(ctx)), reader, info}, nil
		}
		if x.task.State.Ended() {
			return nil, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ended gives a channel that is closed once the task has ended.
func (x *exchange) ended(ctx context.Context) <-chan struct{} {
	ended := make(chan struct{})
	if x.task.State.Ended() {
		close(ended)
		return ended
	}
	go func() {
		if x.api.History.Wait(ctx, x.id) == nil {
			close(ended)
		}
	}()
	return ended
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
	if x.r.Context().Err() == nil && !errors.Is(err, errPolicyChanged) { // otherwise the client has gone
		x.api.Log.Error("cannot answer to the end", "path", x.r.URL.Path, "error", err)
	}
	panic(http.ErrAbortHandler)
}
