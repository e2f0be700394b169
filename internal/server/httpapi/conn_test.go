//go:build linux

package httpapi_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"deputy"
	"deputy/internal/wall"
)

func TestFramings(t *testing.T) {
	r := start(t)
	// Chunked is read; nothing behind it is taken for a request.
	conn := r.Dial(panel)
	defer conn.Close()
	send(t, conn, finish("POST /v1/actions/demo/echo\nTransfer-Encoding: chunked\n\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n")+finish("GET /healthz"))
	in := bufio.NewReader(conn)
	if got := readAnswer(t, in); !strings.HasPrefix(got, "202 ") || !strings.Contains(got, "Connection: close") {
		t.Errorf("chunked: %s", got)
	}
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("behind a chunked body: %q, %v", rest, err)
	}
	// Requests with a length may follow one another, also at once.
	conn = r.Dial(panel)
	defer conn.Close()
	send(t, conn, strings.Repeat(finish("POST /v1/actions/demo/echo\nCONTENT-LENGTH: 2\n\n{}"), 3))
	in = bufio.NewReader(conn)
	for range 3 {
		if got := readAnswer(t, in); !strings.HasPrefix(got, "202 ") {
			t.Errorf("one of three: %s", got)
		}
	}
	// HTTP/1.0 is answered without chunks, by the end of the connection.
	id := r.written(strings.Repeat("x", 100_000))
	r.End(id, deputy.Succeeded)
	r.sync()
	conn = r.Dial(panel)
	defer conn.Close()
	send(t, conn, "GET /v1/tasks/"+id+"/stdout?follow=1 HTTP/1.0\r\n\r\n")
	all, err := io.ReadAll(conn)
	head, body, _ := strings.Cut(string(all), "\r\n\r\n")
	if err != nil || !strings.HasPrefix(head, "HTTP/1.0 200 OK") || strings.Contains(head, "Transfer-Encoding") || len(body) != 100_000 {
		t.Errorf("HTTP/1.0: %v, %d bytes: %s", err, len(body), head)
	}
	// Host says nothing here.
	if got := r.raw(panel, "GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n"); !strings.HasPrefix(got, "200 ") {
		t.Errorf("Host: %s", got)
	}
	// A header of more than 16 KiB is refused by net/http itself.
	if got := r.raw(panel, finish("GET /healthz\nX: "+strings.Repeat("x", 17<<10))); !strings.HasPrefix(got, "431 ") {
		t.Errorf("a long header: %s", got)
	}
	if got := r.raw(panel, finish("GET /healthz\nX: "+strings.Repeat("x", 15<<10))); !strings.HasPrefix(got, "200 ") {
		t.Errorf("a header of 15 KiB: %s", got)
	}
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// TestHalfClosed: a client that has said all it will say still gets its answer,
// also one that it must wait for; one that has gone is not waited for.
func TestHalfClosed(t *testing.T) {
	r := start(t)
	id := r.Accept("uid:33", "demo", "echo", nil)
	r.Start(id)
	r.sync()
	conn := r.Dial(panel).(*net.UnixConn)
	defer conn.Close()
	send(t, conn, finish(fmt.Sprintf("POST /v1/actions/demo/echo?wait=15\n\n{\"join\":%q}", id)))
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	r.until("the call has joined", func() bool {
		var task deputy.Task
		r.do(root, "GET", "/v1/tasks/"+id, "").into(t, 200, &task)
		return len(task.Joined) == 1
	})
	r.End(id, deputy.Succeeded)
	in := bufio.NewReader(conn)
	if got := readAnswer(t, in); !strings.HasPrefix(got, "200 ") {
		t.Errorf("%s", got)
	}
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("then the connection is closed: %q, %v", rest, err)
	}
	// One that ends in the middle of its body.
	conn = r.Dial(panel).(*net.UnixConn)
	defer conn.Close()
	send(t, conn, finish("POST /v1/actions/demo/echo\nContent-Length: 10\n\n{"))
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := readAnswer(t, bufio.NewReader(conn)); !strings.HasPrefix(got, "400 ") || !strings.Contains(got, "it broke off") {
		t.Errorf("%s", got)
	}
	// One that goes away: its request is given up.
	long := r.Accept("uid:33", "demo", "echo", nil)
	r.sync()
	before := r.Dial(panel)
	send(t, before, finish("GET /v1/tasks/"+long+"?wait=3600"))
	r.until("its request is held", func() bool { return held() })
	before.Close()
	r.until("its request is given up", func() bool { return !held() })
}

// held says whether a goroutine of this process holds an answer back.
func held() bool {
	stacks := make([]byte, 1<<20)
	return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "(*exchange).showTask")
}

// TestSlow: a client that does not send its request is put out, and costs
// nobody else anything.
func TestSlow(t *testing.T) {
	t.Parallel()
	r := start(t)
	began := time.Now()
	var slow []net.Conn
	for i := range 50 {
		conn := r.Dial(panel)
		defer conn.Close()
		send(t, conn, finish("GET /healthz")[:i%20])
		slow = append(slow, conn)
	}
	for range 20 {
		if a := r.do(other, "GET", "/healthz", ""); a.StatusCode != 200 {
			t.Fatalf("%d", a.StatusCode)
		}
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("others waited %v", took)
	}
	for _, conn := range slow {
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("not closed: %v", err)
		}
	}
	if took := time.Since(began); took < 4*time.Second || took > 15*time.Second {
		t.Errorf("put out after %v", took)
	}
}

// TestALargeBodyComesSlowly: a body that the action's max_body allows is taken, though it
// comes for longer than a small one may take; and a small one may not.
func TestALargeBodyComesSlowly(t *testing.T) {
	t.Parallel()
	r := start(t)
	for action, want := range map[string]string{"big": "202 ", "echo": "408 "} {
		body := `{"text":"` + strings.Repeat("x", map[string]int{"big": 1 << 20, "echo": 1}[action]) + `"}`
		conn := r.Dial(panel)
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := fmt.Fprintf(conn, "POST /v1/actions/demo/%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", action, len(body), body[:len(body)-1]); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(17*time.Second, func() { _, _ = io.WriteString(conn, body[len(body)-1:]) }) // 15 s are a small one's
		if got := readAnswer(t, bufio.NewReader(conn)); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %.300s, want %s", action, got, want)
		}
	}
}

// TestOver: connections beyond the limit are told so, and a flood of them is cut.
func TestOver(t *testing.T) {
	r := start(t)
	got := r.rawOn(r.DialOver(panel), finish("GET /healthz"))
	if !strings.HasPrefix(got, "429 Too Many Requests\nRetry-After: 1\nContent-Type: application/problem+json\nConnection: close\n") ||
		!strings.Contains(got, `"code":"rate_limited","detail":"cannot take this connection: uid:33 has too many open`) {
		t.Errorf("%s", got)
	}
	got = r.rawOn(r.DialFull(panel), finish("GET /healthz"))
	if !strings.HasPrefix(got, "503 Service Unavailable\nRetry-After: 1\nContent-Type: application/problem+json\nConnection: close\n") ||
		!strings.Contains(got, `"code":"not_durable","detail":"cannot take this connection: deputy has as many`) {
		t.Errorf("%s", got)
	}
	// Those who say nothing are put out after headerTime: a flood that takes longer to
	// be sent than that proves nothing, and is sent again.
	for range 10 {
		begun := time.Now()
		told := floodOver(t, r, 300)
		if told > 128 {
			t.Errorf("%d of 300 were told at the same time", told)
		}
		if time.Since(begun) < 4*time.Second {
			if told < 128 {
				t.Errorf("of 300 only %d were told", told)
			}
			break
		}
	}
	if got := r.rawOn(r.DialOver(panel), finish("GET /healthz")); !strings.HasPrefix(got, "429 ") {
		t.Errorf("afterwards: %s", got)
	}
}

// floodOver connects n times beyond the limit, asks over each, and counts those that
// are answered; the others are cut.
func floodOver(t *testing.T, r *rig, n int) (told int) {
	var flood []net.Conn
	for range n {
		conn := r.DialOver(panel)
		defer conn.Close()
		flood = append(flood, conn)
	}
	r.sync() // connections are taken in their order: all of these were
	for _, conn := range flood {
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		_, _ = io.WriteString(conn, finish("GET /healthz")) // some are cut already
	}
	for _, conn := range flood {
		if answer, _ := io.ReadAll(conn); len(answer) > 0 {
			told++
		}
	}
	return told
}

// TestManyConnections: a thousand callers at once, each on its own connection.
func TestManyConnections(t *testing.T) {
	r := start(t)
	id := r.Accept("uid:33", "demo", "echo", nil)
	r.Start(id)
	r.sync()
	const callers = 1000
	var all sync.WaitGroup
	failures := make(chan string, callers)
	for i := range callers {
		conn := r.Dial(panel)
		defer conn.Close()
		all.Go(func() {
			_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
			in := bufio.NewReader(conn)
			request := fmt.Sprintf("POST /v1/actions/demo/echo?wait=%d\n\n{\"join\":%q}", i%2*50, id)
			if _, err := io.WriteString(conn, finish(request)); err != nil {
				failures <- err.Error()
				return
			}
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				failures <- err.Error()
				return
			}
			defer resp.Body.Close()
			if want := 202 - i%2*2; resp.StatusCode != want {
				failures <- resp.Status
			}
		})
	}
	r.until("those that do not wait are answered, the others wait", func() bool {
		var task deputy.Task
		r.do(root, "GET", "/v1/tasks/"+id, "").into(t, 200, &task)
		return task.State == deputy.Running
	})
	time.Sleep(100 * time.Millisecond)
	r.End(id, deputy.Succeeded)
	all.Wait()
	close(failures)
	for f := range failures {
		t.Error(f)
	}
}

// TestMonitorGone: what the monitor has not answered is said to be unknown, and
// the server ends.
func TestMonitorGone(t *testing.T) {
	r := start(t)
	asked := make(chan struct{})
	decide := r.Decide
	r.Decide = func(q *wall.Request, uid uint32) wall.Outcome {
		if uid == panel && q.Kind != wall.Actions || uid == other {
			asked <- struct{}{}
			select {} // for ever
		}
		return decide(q, uid)
	}
	answers := map[string]*bufio.Reader{}
	for request, uid := range map[string]uint32{
		"POST /v1/actions/demo/echo\n\n{}": panel, "POST /v1/explain/demo/echo\n\n{}": panel, "GET /v1/tasks": panel,
		"GET /v1/actions": other, "POST /v1/actions/demo/none\n\n{}": other,
	} {
		conn := r.Dial(uid)
		defer conn.Close()
		send(t, conn, finish(request))
		answers[request] = bufio.NewReader(conn)
		<-asked
	}
	r.Hangup()
	for request, in := range answers {
		want, code := "503 Service Unavailable\nRetry-After: 1\n", `"code":"not_durable"`
		if strings.HasPrefix(request, "POST /v1/actions/demo/echo") { // the other did not come so far
			want, code = "500 Internal Server Error\nRetry-After: 1\n", `"code":"outcome_unknown"`
		}
		if got := readAnswer(t, in); !strings.HasPrefix(got, want) || !strings.Contains(got, code) {
			t.Errorf("%s: %s", request, got)
		}
	}
	select {
	case err := <-r.stopped:
		r.stopped <- err
	case <-time.After(10 * time.Second):
		t.Fatal("the server lives on")
	}
}
