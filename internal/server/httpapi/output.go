package httpapi

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"

	"deputy"
	"deputy/internal/output"
	"deputy/internal/server/asker"
)

// chunk is how much of an output is read at once, in bytes.
const chunk = 64 << 10

func (x *exchange) stdout() error { return x.output(output.Stdout) }
func (x *exchange) stderr() error { return x.output(output.Stderr) }

// output answers with what a task wrote, in the form that is asked for.
func (x *exchange) output(stream string) error {
	if err := x.needWhole(); err != nil {
		return err
	}
	values, err := x.at.Only("follow", "offset", "wait")
	if err != nil {
		return err
	}
	follow := values.Get("follow")
	if values.Has("follow") && follow != "0" && follow != "1" {
		return badRequest("cannot use follow=%.30q: it must be 1 or 0", follow)
	}
	offset, placed, err := number(values, "offset")
	if err != nil {
		return err
	}
	wait, held, err := x.wait(values)
	switch {
	case err != nil:
		return err
	case values.Has("wait") && (!placed || follow == "1"):
		return badRequest("cannot use wait here: it goes with offset, and not with follow=1")
	case x.wantsEvents():
		return x.streamOutput(stream, offset)
	case follow == "1":
		return x.followOutput(stream, offset)
	case placed:
		if !held || x.r.Method == http.MethodHead {
			wait = 0
		}
		return x.pollOutput(stream, offset, wait)
	}
	return x.wholeOutput(stream)
}

// needWhole refuses the output of a task to who sees but an outline of it.
func (x *exchange) needWhole() error {
	if x.seen == asker.Whole {
		return nil
	}
	return deputy.Refuse(deputy.NotAllowed, "%s may not see what task %s writes: another asked for it first, and you have joined; a rule for %s/%s with read = true would allow it",
		x.asker.Caller(), x.id, x.task.Module, x.task.Action)
}

// openOutput opens a stream of the task. Where there is no file, because the
// task was never started or its output was removed, the reader is nil, and
// what is said of it is what the history remembers.
func (x *exchange) openOutput(stream string) (*output.Reader, output.Info, error) {
	reader, err := output.Open(x.api.sizes.taskDir(x.id), stream)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, x.remembered(stream), nil
	}
	if err != nil {
		return nil, output.Info{}, err
	}
	info, err := reader.Info()
	if errors.Is(err, fs.ErrNotExist) { // removed just now
		reader.Close()
		return nil, x.remembered(stream), nil
	}
	if err != nil {
		reader.Close()
	}
	return reader, info, err
}

// remembered is what there is to say of an output without a file: all of it is
// a gap.
func (x *exchange) remembered(stream string) output.Info {
	info := output.Info{Size: x.task.StdoutBytes, Rewritten: x.task.StdoutRewritten}
	if stream == output.Stderr {
		info = output.Info{Size: x.task.StderrBytes, Rewritten: x.task.StderrRewritten}
	}
	if info.Size > 0 {
		info.Gap = &[2]int64{0, info.Size}
	}
	return info
}

// describe sets the headers of an output.
func (x *exchange) describe(info output.Info) {
	h := x.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff") // it is what a task wrote: nothing to be run
	h.Set("Cache-Control", "no-store")
	h.Set("Deputy-State", string(x.task.State))
	h.Set("Deputy-Ended", strconv.FormatBool(x.task.Ended != nil))
	if info.Gap != nil {
		h.Set("Deputy-Gap", formatGap(info.Gap))
	}
	if info.Rewritten {
		h.Set("Deputy-Rewritten", "true")
	}
}

// formatGap writes [from, to) as FIRST-LAST.
func formatGap(gap *[2]int64) string { return fmt.Sprintf("%d-%d", gap[0], gap[1]-1) }

// wholeOutput answers with the bytes that exist now, those before the gap and
// those behind it, or with a range of them.
func (x *exchange) wholeOutput(stream string) error {
	reader, info, err := x.openOutput(stream)
	if err != nil {
		return err
	}
	if reader != nil {
		defer reader.Close()
	}
	x.describe(info)
	h := x.w.Header()
	h.Set("Accept-Ranges", "bytes")
	parts := existing(info)
	if first, last, ranged := parseRange(x.r.Header, info.Size); ranged {
		end, ok := rangeEnd(info, first, last)
		if !ok {
			h.Set("Content-Range", fmt.Sprintf("bytes */%d", info.Size))
			h.Del("Content-Type")
			return unsatisfiable(info, first)
		}
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, end-1, info.Size))
		h.Set("Content-Length", strconv.FormatInt(end-first, 10))
		x.w.WriteHeader(http.StatusPartialContent)
		parts = [][2]int64{{first, end}}
	} else {
		var n int64
		for _, p := range parts {
			n += p[1] - p[0]
		}
		h.Set("Content-Length", strconv.FormatInt(n, 10))
		x.w.WriteHeader(http.StatusOK)
	}
	if reader == nil || x.r.Method == http.MethodHead {
		return nil
	}
	for _, p := range parts {
		// The length is told already: an answer that comes out shorter, because
		// the cap took these bytes meanwhile, must be seen to be broken off.
		if _, err := io.Copy(x.w, io.NewSectionReader(reader, p[0], p[1]-p[0])); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	return nil
}

// existing gives the parts that are there, as [from, to).
func existing(info output.Info) [][2]int64 {
	if info.Gap == nil {
		return [][2]int64{{0, info.Size}}
	}
	return [][2]int64{{0, info.Gap[0]}, {info.Gap[1], info.Size}}
}
