//go:build linux

package httpapi_test

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deputy"
)

// text is 26 lines of 1,000 bytes, "aaa…\n" to "zzz…\n".
func text() string {
	var b strings.Builder
	for c := 'a'; c <= 'z'; c++ {
		b.WriteString(strings.Repeat(string(c), 999) + "\n")
	}
	return b.String()
}

// written starts a task and has it write.
func (r *rig) written(stdout string) string {
	id := r.Accept("uid:33", "demo", "echo", nil)
	r.Start(id)
	r.Write(id, "stdout", stdout)
	return id
}

func TestOutputBytes(t *testing.T) {
	r := start(t)
	whole := text()
	plain, holed, empty := r.written(whole), r.written(whole), r.written("")
	r.Gap(holed, "stdout", 5000, 20_000)
	never := r.Accept("uid:33", "demo", "echo", nil)
	removed := r.written(whole)
	for _, id := range []string{plain, removed} {
		r.End(id, deputy.Succeeded)
	}
	if err := os.RemoveAll(filepath.Join(r.Greeting.TasksDir, removed)); err != nil {
		t.Fatal(err)
	}
	r.Record(deputy.Event{Type: deputy.OutputRemoved, IDs: []string{removed}})
	for _, c := range []struct {
		id, spec string
		status   int
		body     string
		span     string // Content-Range
		gap      string
	}{
		{plain, "", 200, whole, "", ""},
		{plain, "bytes=0-0", 206, "a", "bytes 0-0/26000", ""},
		{plain, "bytes=999-1001", 206, "\nbb", "bytes 999-1001/26000", ""},
		{plain, "bytes=25998-", 206, "z\n", "bytes 25998-25999/26000", ""},
		{plain, "bytes=-2", 206, "z\n", "bytes 25998-25999/26000", ""},
		{plain, "bytes=-99999", 206, whole, "bytes 0-25999/26000", ""},
		{plain, "bytes=25999-99999", 206, "\n", "bytes 25999-25999/26000", ""},
		{plain, "bytes=26000-", 416, "", "bytes */26000", ""},
		{plain, "bytes=-0", 416, "", "bytes */26000", ""},
		{plain, "bytes=5-4", 200, whole, "", ""},
		{plain, "bytes=x-4", 200, whole, "", ""},
		{plain, "lines=1-4", 200, whole, "", ""},
		{plain, "bytes=0-1,4-5", 200, whole, "", ""},
		{holed, "", 200, whole[:5000] + whole[20_000:], "", "5000-19999"},
		{holed, "bytes=4998-5001", 206, whole[4998:5000], "bytes 4998-4999/26000", "5000-19999"},
		{holed, "bytes=4998-", 206, whole[4998:5000], "bytes 4998-4999/26000", "5000-19999"},
		{holed, "bytes=5000-", 416, "", "bytes */26000", "5000-19999"},
		{holed, "bytes=19999-20005", 416, "", "bytes */26000", "5000-19999"},
		{holed, "bytes=20000-20001", 206, "uu", "bytes 20000-20001/26000", "5000-19999"},
		{holed, "bytes=-7000", 416, "", "bytes */26000", "5000-19999"},
		{empty, "", 200, "", "", ""},
		{empty, "bytes=0-", 416, "", "bytes */0", ""},
		{never, "", 200, "", "", ""},
		{removed, "", 200, "", "", "0-25999"},
		{removed, "bytes=0-5", 416, "", "bytes */26000", "0-25999"},
	} {
		header := "X: y"
		if c.spec != "" {
			header = "Range: " + c.spec
		}
		a := r.do(panel, "GET", "/v1/tasks/"+c.id+"/stdout", "", header)
		if a.StatusCode != c.status || a.Header.Get("Content-Range") != c.span || a.Header.Get("Deputy-Gap") != c.gap {
			t.Errorf("%s: %d, %q, gap %q; want %d, %q, %q", c.spec, a.StatusCode, a.Header.Get("Content-Range"), a.Header.Get("Deputy-Gap"), c.status, c.span, c.gap)
		}
		if c.status < 400 && a.body != c.body {
			t.Errorf("%s: %d bytes, not the %d that it should be", c.spec, len(a.body), len(c.body))
		}
		if c.status == 416 && a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %v", c.spec, a.Header)
		}
		head := r.do(panel, "HEAD", "/v1/tasks/"+c.id+"/stdout", "", header)
		if head.StatusCode != c.status || head.body != "" || c.status < 400 && head.ContentLength != int64(len(c.body)) {
			t.Errorf("HEAD %s: %d, %d bytes, Content-Length %d", c.spec, head.StatusCode, len(head.body), head.ContentLength)
		}
	}
	if a := r.do(panel, "GET", "/v1/tasks/"+plain+"/stdout", "", "Range: bytes=0-1", `If-Range: "x"`); a.StatusCode != 200 {
		t.Errorf("If-Range: %d", a.StatusCode)
	}
}

func TestOutputFollowed(t *testing.T) {
	r := start(t)
	id := r.Accept("uid:33", "demo", "echo", nil)
	r.sync()
	resp, err := r.client(panel).Get("http://deputy/v1/tasks/" + id + "/stdout?follow=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	r.Start(id) // it is followed since before its start
	for _, line := range []string{"one\n", "two\n", "three\n"} {
		r.Write(id, "stdout", line)
		if got, err := in.ReadString('\n'); err != nil || got != line {
			t.Fatalf("%q, %v; want %q, at once", got, err, line)
		}
	}
	r.Write(id, "stdout", "rest")
	r.End(id, deputy.Succeeded)
	if rest, err := io.ReadAll(in); err != nil || string(rest) != "rest" {
		t.Errorf("%q, %v", rest, err)
	}
	if a := r.do(panel, "GET", "/v1/tasks/"+id+"/stdout?follow=1&offset=4", ""); a.body != "two\nthree\nrest" {
		t.Errorf("from an offset: %q", a.body)
	}
}

func TestOutputPolled(t *testing.T) {
	r := start(t)
	whole := text()
	id := r.written(whole)
	r.Gap(id, "stdout", 5000, 20_000)
	poll := func(query string) answer {
		a := r.do(panel, "GET", "/v1/tasks/"+id+"/stdout?"+query, "")
		if a.StatusCode != 200 {
			t.Fatalf("%s: %d %s", query, a.StatusCode, a.body)
		}
		return a
	}
	for _, c := range []struct{ query, body, next, gap string }{
		{"offset=0", whole[:5000], "5000", ""},
		{"offset=4000&wait=10", whole[4000:5000], "5000", ""},
		{"offset=5000", whole[20_000:], "26000", "5000-19999"},
		{"offset=6000", whole[20_000:], "26000", "6000-19999"},
		{"offset=25000", whole[25_000:], "26000", ""},
		{"offset=26000", "", "26000", ""},
		{"offset=26000&wait=0", "", "26000", ""},
	} {
		a := poll(c.query)
		if a.body != c.body || a.Header.Get("Deputy-Next-Offset") != c.next || a.Header.Get("Deputy-Gap") != c.gap || a.Header.Get("Deputy-State") != "running" || a.Header.Get("Deputy-Ended") != "false" {
			t.Errorf("%s: %d bytes, %v", c.query, len(a.body), a.Header)
		}
	}
	// It waits for bytes, then for the end.
	answered := make(chan answer)
	go func() { answered <- poll("offset=26000&wait=15") }()
	time.Sleep(50 * time.Millisecond) // most likely it waits by now; either way the answer is the same
	r.Write(id, "stdout", "more")
	if a := <-answered; a.body != "more" || a.Header.Get("Deputy-Next-Offset") != "26004" {
		t.Errorf("%q %v", a.body, a.Header)
	}
	go func() { answered <- poll("offset=26004&wait=15") }()
	r.End(id, deputy.Succeeded)
	if a := <-answered; a.body != "" || a.Header.Get("Deputy-State") != "succeeded" || a.Header.Get("Deputy-Ended") != "true" {
		t.Errorf("%q %v", a.body, a.Header)
	}
	began := time.Now()
	a := poll("offset=26000&wait=15")
	if a.body != "more" {
		t.Errorf("%q %v", a.body, a.Header)
	}
	if a := poll("offset=99999&wait=15"); a.body != "" || a.Header.Get("Deputy-State") != "succeeded" || a.Header.Get("Deputy-Ended") != "true" || time.Since(began) > 10*time.Second {
		t.Errorf("beyond the end: %q %v", a.body, a.Header)
	}
	// What is removed is a gap.
	if err := os.RemoveAll(filepath.Join(r.Greeting.TasksDir, id)); err != nil {
		t.Fatal(err)
	}
	if a := poll("offset=10&wait=15"); a.body != "" || a.Header.Get("Deputy-Gap") != "10-26003" || a.Header.Get("Deputy-Next-Offset") != "26004" {
		t.Errorf("removed: %q %v", a.body, a.Header)
	}
}

// TestOutputCut: that a task cut its own file is told.
func TestOutputCut(t *testing.T) {
	r := start(t)
	id := r.written("0123456789")
	path := filepath.Join(r.Greeting.TasksDir, id, "stdout")
	stream := r.events(panel, "/v1/tasks/"+id+"/stdout", "")
	stream.want("10", `{"text":"0123456789"}`)
	if err := os.Truncate(path, 3); err != nil {
		t.Fatal(err)
	}
	stream.want("0", `{"rewritten":true}`)
	stream.want("3", `{"text":"012"}`)
	if err := os.Symlink("0 0 rewritten", path+".gap"); err != nil {
		t.Fatal(err)
	}
	for query, next := range map[string]string{"": "", "?offset=0": "3", "?offset=10&wait=0": "0"} {
		a := r.do(panel, "GET", "/v1/tasks/"+id+"/stdout"+query, "")
		if a.Header.Get("Deputy-Rewritten") != "true" || a.Header.Get("Deputy-Next-Offset") != next {
			t.Errorf("%s: %q %v", query, a.body, a.Header)
		}
	}
}

func TestOutputEvents(t *testing.T) {
	r := start(t)
	id := r.Accept("uid:33", "demo", "echo", nil)
	stream := r.events(panel, "/v1/tasks/"+id+"/stdout", "")
	r.Start(id)
	r.Write(id, "stdout", "gr\xc3")
	stream.want("2", `{"text":"gr"}`)
	r.Write(id, "stdout", "\xbcn\xff\n")
	stream.want("7", `{"text":"ün\ufffd\n"}`)
	r.Write(id, "stdout", strings.Repeat("x", 93)+strings.Repeat("y", 100))
	var text string
	for text != strings.Repeat("x", 93)+strings.Repeat("y", 100) {
		_, data := stream.next()
		text += strings.TrimSuffix(strings.TrimPrefix(data, `{"text":"`), `"}`)
	}
	r.Write(id, "stdout", "end\xe2\x82")
	stream.want("203", `{"text":"end"}`)
	r.End(id, deputy.Succeeded)
	stream.want("205", `{"text":"\ufffd\ufffd"}`)
	last, data := stream.next()
	if last != "205-end" || !strings.HasPrefix(data, `{"end":{"id":"`+id+`"`) || !strings.Contains(data, `"state":"succeeded"`) {
		t.Errorf("%s %s", last, data)
	}
	stream.wantEnd()
	if a := r.do(panel, "GET", "/v1/tasks/"+id+"/stdout", "", "Accept: text/event-stream", "Last-Event-ID: 205-end"); a.StatusCode != 204 || a.body != "" {
		t.Errorf("behind the end: %d %q", a.StatusCode, a.body)
	}
	if a := r.do(panel, "GET", "/v1/tasks/"+id+"/stdout", "", "Accept: text/event-stream", "Last-Event-ID: x-end"); a.StatusCode != 400 {
		t.Errorf("behind nothing: %d %q", a.StatusCode, a.body)
	}
	stream = r.events(panel, "/v1/tasks/"+id+"/stdout", "205") // it has not seen the end
	if last, data := stream.next(); last != "205-end" || !strings.HasPrefix(data, `{"end":`) {
		t.Errorf("%s %s", last, data)
	}

	// It is resumed behind the last event, and a gap is told at its place.
	r.Gap(id, "stdout", 10, 200)
	stream = r.events(panel, "/v1/tasks/"+id+"/stdout", "7")
	stream.want("10", `{"text":"xxx"}`)
	stream.want("200", `{"gap":[10,200]}`)
	stream.want("203", `{"text":"end"}`)
	stream.want("205", `{"text":"\ufffd\ufffd"}`)
	if last, data := stream.next(); last != "205-end" || !strings.HasPrefix(data, `{"end":`) {
		t.Errorf("%s %s", last, data)
	}
	if err := os.RemoveAll(filepath.Join(r.Greeting.TasksDir, id)); err != nil {
		t.Fatal(err)
	}
	stream = r.events(panel, "/v1/tasks/"+id+"/stdout", "7")
	stream.want("205", `{"gap":[7,205]}`)
	if last, data := stream.next(); last != "205-end" || !strings.HasPrefix(data, `{"end":`) {
		t.Errorf("%s %s", last, data)
	}
}

func TestAcceptIsParsed(t *testing.T) {
	r := start(t)
	id := r.written("text")
	r.End(id, deputy.Succeeded)
	for accept, events := range map[string]bool{
		"": false, "*/*": false, "text/*": false, "text/event-stream": true, "Text/Event-Stream": true, " text/event-stream ; q=1": true,
		"text/event-stream, */*;q=0.1": true, "*/*, text/event-stream": true, "text/event-stream;q=0": false, "text/event-stream;q=0.000": false,
		"text/event-stream;q=0.5, application/octet-stream": false, "application/octet-stream;q=0.1, text/event-stream;q=0.2, */*": true,
		"text/event-stream;q=x": false, "text/event-streams": false, "x-text/event-stream": false, "application/json, text/html;level=text/event-stream": false,
		"text/event-stream;q=0.3, */*;q=0.8": false, "text/event-stream;charset=utf-8": true,
	} {
		a := r.do(panel, "GET", "/v1/tasks/"+id+"/stdout", "", "Accept: "+accept)
		if got := a.Header.Get("Content-Type") == "text/event-stream"; got != events || a.StatusCode != 200 {
			t.Errorf("%q: %d %s", accept, a.StatusCode, a.Header.Get("Content-Type"))
		}
	}
}

// eventReader reads server-sent events as a client would.
type eventReader struct {
	t    testing.TB
	resp *http.Response
	in   *bufio.Reader
	kind string // of the last event
}

func (r *rig) events(uid uint32, target, last string) *eventReader {
	r.t.Helper()
	req, err := http.NewRequest("GET", "http://deputy"+target, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	r.sync()
	resp, err := r.client(uid).Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		r.t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	return &eventReader{t: r.t, resp: resp, in: bufio.NewReader(resp.Body)}
}

func (e *eventReader) next() (id, data string) {
	e.t.Helper()
	e.kind = ""
	for {
		line, err := e.in.ReadString('\n')
		if err != nil {
			e.t.Fatalf("no event: %v", err)
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			id = value
		case "event":
			e.kind = value
		case "data":
			data = value
		case "":
			if data != "" {
				return id, data
			}
		}
	}
}

func (e *eventReader) want(id, data string) {
	e.t.Helper()
	if gotID, got := e.next(); gotID != id || got != data {
		e.t.Fatalf("event %s %s, want %s %s", gotID, got, id, data)
	}
}

func (e *eventReader) wantEnd() {
	e.t.Helper()
	if line, err := e.in.ReadString('\n'); err != io.EOF {
		e.t.Errorf("after the end: %q, %v", line, err)
	}
}
