//go:build linux

package httpapi_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"deputy"
)

// What net/http answers by itself, before any handler, is a problem like all
// refusals, and the connection ends behind it.
func TestWhatIsNoRequestIsAProblem(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, c := range []struct {
		text   string
		status int
		detail string
	}{
		{"nonsense\r\n\r\n", 400, "it has not the form of one"},
		{"GET /healthz HTTP/1.1\r\n\r\n", 400, "missing required Host header"},
		{"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, "it must have one Host"},
		{"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "malformed Host header"},
		{"GET /healthz HTTP/1.1\r\nHost: x\r\nA\r\n\r\n", 400, "a line of its head is not a header"},
		{"GET /healthz HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", 400, "a line of its head is not a header"},
		{"GET /healthz HTTP/1.1\r\nHost: x\r\nA: \x01\r\n\r\n", 400, "it has not the form of one"},
		{"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400, "it has not the form of one"},
		{"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n", 400, "its Content-Length is not a number"},
		{"POST /v1/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "no Transfer-Encoding but chunked"},
		{"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 17<<10) + "\r\n\r\n", 431, "longer than 16384 bytes"},
		{"GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n", 505, "this version of HTTP"},
		{"GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: more\r\n\r\n", 417, "100-continue alone"},
		{"GET /healthz HTTP/1.1\r\nHost: x", 408, "its head did not arrive within 5s"},
		{"GE", 408, "its head did not arrive within 5s"},
		{"GET /healthz HTTP/1.1\r\nHost: x\r\nDeputy-End-User: alice", 408, "its head did not arrive within 5s"},
	} {
		t.Run(fmt.Sprint(c.status, " ", c.detail), func(t *testing.T) {
			t.Parallel()
			conn := r.Dial(panel)
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			go func() { _, _ = io.WriteString(conn, c.text) }()
			in := bufio.NewReader(conn)
			answer, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			var p struct {
				Status int
				Title  string
				deputy.Error
			}
			if err := json.NewDecoder(answer.Body).Decode(&p); err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode != c.status || p.Status != c.status || p.Title != http.StatusText(c.status) || p.Code != deputy.BadRequest ||
				!strings.Contains(p.Detail, c.detail) || answer.Header.Get("Content-Type") != "application/problem+json" || !answer.Close {
				t.Errorf("%s %v: %+v", answer.Status, answer.Header, p)
			}
			if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
				t.Errorf("behind it: %q, %v", rest, err)
			}
		})
	}
}

// What a task wrote is never taken for an answer of net/http, however it looks.
func TestOutputThatLooksLikeAnAnswerIsLeftAlone(t *testing.T) {
	r := start(t)
	own := "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
	text := strings.Repeat(own+strings.Repeat("x", 4096-len(own)), 40) + own
	id := r.written(text)
	r.End(id, deputy.Succeeded)
	for _, target := range []string{"/stdout", "/stdout?follow=1", "/stdout?offset=0&wait=0"} {
		for _, body := range []string{"", strings.Repeat("y", 9000)} { // a body that nobody reads is drained at the end
			if got := r.do(panel, "GET", "/v1/tasks/"+id+target, body); got.body != text {
				t.Errorf("%s: %d bytes, want %d", target, len(got.body), len(text))
			}
		}
	}
}

// A separator is what is written so: %2F is a part of a name, which no name has.
func TestAnEncodedSlashSeparatesNothing(t *testing.T) {
	r := start(t)
	id := r.Accept("uid:33", "demo", "echo", nil)
	r.Start(id)
	r.sync()
	for target, want := range map[string]int{
		"GET /v1/tasks/" + id: 200, "GET /v1/tasks/" + id + "/stdout": 200, "GET /v1/tasks/" + id + "%2Fstdout": 404, "GET /v1%2ftasks": 404,
		"GET /v1/t%61sks": 200, "POST /v1/actions/demo/echo": 202, "POST /v1/actions/demo/%65cho": 202, "POST /v1/actions/demo%2fecho": 404,
		"POST /v1/actions/demo%2fecho/x": 404, "POST /v1/actions/demo/echo%2f": 404, "POST /v1/tasks/" + id + "%2fstop": 405,
		"GET /v1/tasks/../tasks": 404, "GET /v1//tasks": 404, "GET //v1/tasks": 404, "GET /v1/tasks#x": 400, "GET http://deputy/v1/tasks": 400,
		"GET /v1/tasks?limit=1#x": 400, "GET /v1/tasks?lock=%zz": 400, "OPTIONS *": 400,
	} {
		if got := r.raw(panel, finish(target+"\nContent-Length: 0")); !strings.HasPrefix(got, fmt.Sprint(want)) {
			t.Errorf("%s: %s, want %d", target, got, want)
		}
	}
}
