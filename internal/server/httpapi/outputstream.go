package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"deputy"
	"deputy/internal/output"
)

// outputStream sends what a task writes as events: {"text":"…"}, {"gap":[from,to]},
// {"rewritten":true} where the task cut the file and it is read from its start
// again, and {"end":Task}. An event's id is the offset behind it.
type outputStream struct {
	*eventStream
	held []byte // read, but only the beginning of a character
	line []byte
}

func (x *exchange) streamOutput(stream string, offset int64) error {
	if x.task.Ended != nil && x.sawEnd() {
		x.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	last, given, err := x.lastEventID()
	if err != nil {
		return err
	}
	if given {
		offset = last
	}
	if x.beginsEvents() {
		return nil
	}
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	s := &outputStream{eventStream: x.openEvents()}
	defer s.close()
	f, err := x.follow(ctx, stream, offset)
	if err != nil {
		return x.breakOff(err)
	}
	if f != nil {
		defer f.close()
		offset, err = s.copy(ctx, f)
		if !isEnd(err) {
			return x.breakOff(err)
		}
	}
	if x.task, _, err = x.api.History.Task(x.r.Context(), x.id); err != nil {
		return x.breakOff(err)
	}
	if f == nil || errors.Is(err, output.ErrRemoved) {
		if p := x.removed(stream, offset); p.gap != nil {
			offset = p.next
			err = s.gap(p.gap)
		}
	}
	if err == nil {
		err = s.end(offset, &x.task)
	}
	return x.breakOff(err)
}

// copy sends text and gaps until the end, which is its error, and gives the
// offset that it reached.
func (s *outputStream) copy(ctx context.Context, f *following) (int64, error) {
	buf := make([]byte, chunk)
	for {
		kept := copy(buf, s.held)
		n, gap, err := f.Next(ctx, buf[kept:])
		at := f.Offset()
		switch {
		case n > 0:
			whole := wholeRunes(buf[:kept+n])
			s.held = append(s.held[:0], buf[whole:kept+n]...)
			err = s.send(at-int64(len(s.held)), buf[:whole])
		case gap != nil:
			if err = s.rest(gap[0]); err == nil {
				err = s.gap(gap)
			}
		case errors.Is(err, output.ErrRewritten):
			if err = s.rest(at); err == nil {
				err = s.eventStream.send("0", "", []byte(`{"rewritten":true}`))
			}
		case isEnd(err):
			if sendErr := s.rest(at); sendErr != nil {
				err = sendErr
			}
		}
		if err != nil {
			return at, err
		}
	}
}

// rest sends what was held back: the other bytes of the character do not come.
func (s *outputStream) rest(next int64) error {
	held := s.held
	s.held = s.held[:0]
	return s.send(next, held)
}

// send sends text, if there is any.
func (s *outputStream) send(next int64, text []byte) error {
	if len(text) == 0 {
		return nil
	}
	s.line = append(s.line[:0], `{"text":"`...)
	s.line = appendText(s.line, text)
	s.line = append(s.line, `"}`...)
	return s.eventStream.send(strconv.FormatInt(next, 10), "", s.line)
}

func (s *outputStream) gap(gap *[2]int64) error {
	data, err := json.Marshal(map[string]*[2]int64{"gap": gap})
	if err != nil {
		return err
	}
	return s.eventStream.send(strconv.FormatInt(gap[1], 10), "", data)
}

func (s *outputStream) end(next int64, task *deputy.Task) error {
	data, err := encode(map[string]*deputy.Task{"end": task})
	if err != nil {
		return err
	}
	return s.eventStream.send(strconv.FormatInt(next, 10)+endMark, "", data[:len(data)-1])
}

// endMark is behind the offset in the id of the end. An EventSource that comes
// back with it has seen all: 204 has it come no more (the HTML standard, section
// 9.2.1). One that comes back with the offset alone has not seen the end.
const endMark = "-end"

// sawEnd says whether a client comes back behind the end.
func (x *exchange) sawEnd() bool {
	values := x.r.Header["Last-Event-Id"]
	if len(values) != 1 {
		return false
	}
	offset, ended := strings.CutSuffix(values[0], endMark)
	_, err := parseNumber(offset)
	return ended && err == nil
}
