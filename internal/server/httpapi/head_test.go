//go:build linux

package httpapi_test

import (
	"bufio"
	"net/http"
	"testing"
	"time"

	"deputy"
)

// A HEAD is answered at once, whatever its GET would wait for, with what that
// would begin with; and the connection goes on to the next request.
func TestHEADNeverWaits(t *testing.T) {
	r := start(t)
	live := r.Accept("uid:33", "demo", "echo", nil)
	r.Start(live)
	r.Write(live, "stdout", "ready\n")
	queued := r.Accept("uid:33", "demo", "echo", nil)
	done := r.written("ready\n")
	r.End(done, deputy.Succeeded)
	r.sync()
	const events, bytes = "text/event-stream", "application/octet-stream"
	for _, c := range []struct{ target, header, contentType, next string }{
		{"/v1/events", "", events, ""},
		{"/v1/events", "\nLast-Event-ID: 0", events, ""},
		{"/v1/tasks/" + live + "?wait=3600", "", "application/json", ""},
		{"/v1/tasks/" + live, "\nPrefer: wait=3600", "application/json", ""},
		{"/v1/tasks?limit=1", "", "application/json", ""},
		{"/v1/tasks/" + live + "/stdout?follow=1", "", bytes, ""},
		{"/v1/tasks/" + live + "/stdout?offset=0&wait=3600", "", bytes, "6"},
		{"/v1/tasks/" + live + "/stdout?offset=6&wait=3600", "", bytes, "6"},
		{"/v1/tasks/" + live + "/stdout", "\nAccept: text/event-stream", events, ""},
		{"/v1/tasks/" + queued + "/stderr?follow=1", "", bytes, ""},
		{"/v1/tasks/" + queued + "/stderr?offset=0&wait=3600", "", bytes, "0"},
		{"/v1/tasks/" + queued + "/stderr", "\nAccept: text/event-stream", events, ""},
		{"/v1/tasks/" + done + "/stdout?follow=1", "", bytes, ""},
		{"/v1/tasks/" + done + "/stdout", "", bytes, ""},
	} {
		conn := r.Dial(panel)
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		send(t, conn, finish("HEAD "+c.target+c.header)+finish("GET /healthz"))
		in := bufio.NewReader(conn)
		head, err := http.ReadResponse(in, &http.Request{Method: http.MethodHead})
		if err != nil {
			t.Errorf("HEAD %s: %v", c.target, err)
			continue
		}
		if head.StatusCode != 200 || head.Header.Get("Content-Type") != c.contentType || head.Header.Get("Deputy-Next-Offset") != c.next {
			t.Errorf("HEAD %s: %s, %v", c.target, head.Status, head.Header)
		}
		if next, err := http.ReadResponse(in, nil); err != nil || next.StatusCode != 200 {
			t.Errorf("behind HEAD %s: %v, %v", c.target, next, err)
		}
	}
	for _, c := range []struct {
		request string
		status  int
	}{
		{"HEAD /v1/events?nothing=1", 400}, {"HEAD /v1/events\nLast-Event-ID: x", 400}, {"HEAD /v1/reload", 405}, {"HEAD /v1/tasks/" + live + "/stop", 405},
	} {
		conn := r.Dial(panel)
		defer conn.Close()
		send(t, conn, finish(c.request)+finish("GET /healthz"))
		in := bufio.NewReader(conn)
		head, err := http.ReadResponse(in, &http.Request{Method: http.MethodHead})
		if err != nil || head.StatusCode != c.status {
			t.Errorf("%s: %v, %v", c.request, head, err)
			continue
		}
		if next, err := http.ReadResponse(in, nil); err != nil || next.StatusCode != 200 {
			t.Errorf("behind %s: %v, %v", c.request, next, err)
		}
	}
}
