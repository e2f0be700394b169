package httpapi

import (
	"bufio"
	"io"

	"deputy/internal/output"
	"deputy/internal/server/asker"
)

// answerWithOutput answers with tasks and the last bytes of what each wrote, as
// text. The text is sent as it is read, so that a hundred tasks cost no more
// memory than one.
func (x *exchange) answerWithOutput(status int, tasks []asker.Shown, last int64) error {
	x.w.Header().Set("Content-Type", "application/json")
	x.w.WriteHeader(status)
	w := bufio.NewWriterSize(x.w, 32<<10)
	_, _ = w.WriteString(`{"tasks":[`)
	for i := range tasks {
		if i > 0 {
			_ = w.WriteByte(',')
		}
		if err := x.writeTask(w, tasks[i], last); err != nil {
			return x.breakOff(err)
		}
	}
	_, _ = w.WriteString("]}\n")
	_ = w.Flush() // an error means that the client has gone
	return nil
}

func (x *exchange) writeTask(w *bufio.Writer, task asker.Shown, last int64) error {
	text, err := encode(task.Form())
	if err != nil {
		return err
	}
	_, _ = w.Write(text[:len(text)-2]) // without } and the newline
	if task.Sight != asker.Whole {
		_, err = w.WriteString(`,"stdout":null,"stderr":null,"truncated":null}`)
		return err
	}
	cut := false
	for _, stream := range []string{output.Stdout, output.Stderr} {
		_, _ = w.WriteString(`,"` + stream + `":"`)
		cut = x.writeTail(w, task.ID, stream, last) || cut
		_ = w.WriteByte('"')
	}
	end := `,"truncated":false}`
	if cut {
		end = `,"truncated":true}`
	}
	_, err = w.WriteString(end)
	return err
}

// writeTail writes the last bytes of a stream that are there without a gap, as
// the inside of a JSON string. It says whether there were others before them.
func (x *exchange) writeTail(w *bufio.Writer, id, stream string, last int64) (cut bool) {
	reader, err := output.Open(x.api.sizes.taskDir(id), stream)
	if err != nil {
		return x.isMissing(id, stream)
	}
	defer reader.Close()
	info, err := reader.Info()
	if err != nil {
		return x.isMissing(id, stream)
	}
	from := max(info.Size-last, 0)
	if info.Gap != nil {
		from = max(from, info.Gap[1])
	}
	// The cap may take the bytes while they are read: then less is shown.
	whole := copyText(w, io.NewSectionReader(reader, from, info.Size-from), from > 0)
	return from > 0 || !whole
}

// isMissing says whether a stream that cannot be read had bytes.
func (x *exchange) isMissing(id, stream string) bool {
	task, _, err := x.api.History.Task(x.r.Context(), id)
	if stream == output.Stderr {
		return err != nil || task.StderrBytes > 0
	}
	return err != nil || task.StdoutBytes > 0
}

// copyText writes r as the inside of a JSON string, without the rest of a
// character that began before it. It says whether all could be read.
func copyText(w io.Writer, r io.Reader, cut bool) bool {
	buf := make([]byte, chunk)
	var line []byte
	kept := 0
	for {
		n, err := io.ReadFull(r, buf[kept:])
		p := buf[:kept+n]
		if cut {
			p, cut = p[brokenStart(p):], false
		}
		whole := len(p)
		if err == nil {
			whole = wholeRunes(p)
		}
		line = appendText(line[:0], p[:whole])
		if _, err := w.Write(line); err != nil {
			return false
		}
		kept = copy(buf, p[whole:])
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return true
		default:
			return false
		}
	}
}
