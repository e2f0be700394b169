package main

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"

	"deputy"
	"deputy/client"
)

// screen lets several outputs and one progress line share the terminal: all
// that is written goes through it, one at a time. Bytes are never changed.
type screen struct {
	a *app

	mu    sync.Mutex
	bar   string // the progress line that should stand below the output
	shown bool
	open  bool // the output's last line has no end yet, so no bar can stand below it
}

// write puts p on w, above the progress line.
func (s *screen) write(w io.Writer, p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	n, err := w.Write(p)
	if n > 0 && s.onTerminal(w) {
		s.open = p[n-1] != '\n'
	}
	s.draw()
	return n, err
}

func (s *screen) onTerminal(w io.Writer) bool {
	return w == s.a.out && s.a.outTerm || w == s.a.err && s.a.errTerm
}

// say writes a line of deputy's own to stderr. On a terminal it begins a line;
// in a pipe nothing is put between the task's bytes and it.
func (s *screen) say(format string, args ...any) {
	s.mu.Lock()
	open := s.open && s.a.errTerm
	s.mu.Unlock()
	begin := "deputy: "
	if open {
		begin = "\n" + begin
	}
	fmt.Fprintf(writer{s, s.a.err}, begin+format+"\n", args...)
}

// setBar changes the progress line; "" takes it away. Only a terminal has one.
func (s *screen) setBar(text string) {
	if !s.a.errTerm {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if text == s.bar && s.shown {
		return
	}
	s.erase()
	s.bar = text
	s.draw()
}

func (s *screen) erase() {
	if s.shown {
		// In a window that was made narrower it stands on several lines.
		if more := (screenWidth(s.bar) - 1) / max(s.a.columns(), 1); more > 0 {
			fmt.Fprintf(s.a.err, "\x1b[%dA", more)
		}
		io.WriteString(s.a.err, "\r\x1b[J")
		s.shown = false
	}
}

func (s *screen) draw() {
	if s.bar != "" && !s.open {
		io.WriteString(s.a.err, s.bar)
		s.shown = true
	}
}

// writer is one output of the screen.
type writer struct {
	s *screen
	w io.Writer
}

func (w writer) Write(p []byte) (int, error) { return w.s.write(w.w, p) }

// sink takes one output of one task. finish writes what was held back.
type sink interface {
	client.GapWriter
	finish() error
}

// sink picks the form: JSON lines, lines marked with the task where there are
// several, otherwise the exact bytes.
func (s *screen) sink(id, stream string, w io.Writer, several bool) sink {
	switch {
	case s.a.json:
		return &jsonSink{s: s, id: id, stream: stream}
	case several:
		return &lineSink{rawSink: rawSink{s: s, id: id, stream: stream, w: w}}
	}
	return &rawSink{s: s, id: id, stream: stream, w: w}
}

// rewrote is what is said of an output whose task cut its file.
const rewrote = "the task itself cut or rewrote it, as > /dev/stdout or > /dev/stderr does (>> does not); here is what came last, from its start"

// rawSink passes bytes on as they are.
type rawSink struct {
	s          *screen
	id, stream string
	w          io.Writer
	told       bool // that the task cut its file
}

func (r *rawSink) Write(p []byte) (int, error) { return r.s.write(r.w, p) }
func (r *rawSink) finish() error               { return nil }

func (r *rawSink) Gap(from, to int64) error {
	r.s.say("…%s %s: bytes %d to %d are gone (beyond the output's cap)", short(r.id), r.stream, from, to-1)
	return nil
}

func (r *rawSink) Rewritten(int64) error {
	if !r.told {
		r.s.say("…%s %s: %s", short(r.id), r.stream, rewrote)
	}
	r.told = true
	return nil
}

// lineSink passes whole lines on, each behind the task's short id.
type lineSink struct {
	rawSink
	part []byte // a line without its end
}

// maxLine is how much of a line without an end is held back, in bytes.
const maxLine = 64 << 10

func (l *lineSink) Write(p []byte) (int, error) {
	l.part = append(l.part, p...)
	for {
		i := bytes.IndexByte(l.part, '\n')
		if i < 0 && len(l.part) > maxLine {
			i = maxLine
		}
		if i < 0 {
			return len(p), nil
		}
		if err := l.line(l.part[:i]); err != nil {
			return 0, err
		}
		l.part = bytes.TrimPrefix(l.part[i:], []byte("\n"))
	}
}

func (l *lineSink) line(text []byte) error {
	_, err := l.rawSink.Write(fmt.Appendf(nil, "%s | %s\n", short(l.id), text))
	return err
}

func (l *lineSink) finish() error {
	if len(l.part) == 0 {
		return nil
	}
	return l.line(l.part)
}

// jsonSink writes pieces of output as JSON lines.
type jsonSink struct {
	s          *screen
	id, stream string
	offset     int64  // of the first byte of part
	part       []byte // the beginning of a character
}

// piece is one line of `run --json` and `logs --json`. Exactly one of Text,
// Gap, Cut and End is set.
type piece struct {
	Task   string       `json:"task"`
	Stream string       `json:"stream,omitempty"`
	Offset *int64       `json:"offset,omitempty"`    // of the first byte of Text
	Text   string       `json:"text,omitempty"`      // bytes that are not UTF-8 as U+FFFD
	Gap    *[2]int64    `json:"gap,omitempty"`       // [from, to): bytes that are gone
	Cut    bool         `json:"rewritten,omitempty"` // the task cut or rewrote its file; the next offset is one of its new text
	End    *deputy.Task `json:"end,omitempty"`
}

func (j *jsonSink) Write(p []byte) (int, error) {
	j.part = append(j.part, p...)
	return len(p), j.emit(len(j.part) - incomplete(j.part))
}

// emit writes the first n bytes that are held.
func (j *jsonSink) emit(n int) error {
	if n == 0 {
		return nil
	}
	offset := j.offset
	text := string(bytes.ToValidUTF8(j.part[:n], []byte("\uFFFD")))
	j.offset += int64(n)
	j.part = append([]byte(nil), j.part[n:]...)
	return jsonLine(writer{j.s, j.s.a.out}, piece{Task: j.id, Stream: j.stream, Offset: &offset, Text: text})
}

func (j *jsonSink) Gap(from, to int64) error {
	if err := j.finish(); err != nil {
		return err
	}
	j.offset = to
	return jsonLine(writer{j.s, j.s.a.out}, piece{Task: j.id, Stream: j.stream, Gap: &[2]int64{from, to}})
}

func (j *jsonSink) Rewritten(at int64) error {
	if err := j.finish(); err != nil {
		return err
	}
	j.offset = at
	return jsonLine(writer{j.s, j.s.a.out}, piece{Task: j.id, Stream: j.stream, Cut: true})
}

func (j *jsonSink) finish() error { return j.emit(len(j.part)) }

// incomplete counts the bytes at the end of p that begin a character which p
// does not hold whole.
func incomplete(p []byte) int {
	for n := 1; n <= min(utf8.UTFMax-1, len(p)); n++ {
		if last := p[len(p)-n:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return 0
			}
			return n
		}
	}
	return 0
}
