//go:build linux

package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"deputy"
	"deputy/internal/server"
	"deputy/internal/server/monitortest"
	"deputy/internal/wall"
)

// The users of these tests.
const (
	root     = 0    // auditor, operator
	panel    = 33   // may call demo/*
	other    = 34   // may call demo/*
	reader   = 35   // sees tasks of demo/echo whose target is "shown"
	trusted  = 1000 // names end users
	stranger = 99   // may call nothing
)

// rig is a whole server between a monitor that a script decides for and the
// clients of a test.
type rig struct {
	*monitortest.Monitor
	t       testing.TB
	stopped chan error // what Run returned
	stop    context.CancelFunc
}

func start(t testing.TB) *rig {
	t.Helper()
	m := monitortest.New(t)
	r := &rig{Monitor: m, t: t, stopped: make(chan error, 1)}
	m.Decide = r.decide
	r.run()
	return r
}

func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	sockets := r.Connect(nil)
	r.stop = cancel
	go func() {
		r.stopped <- server.Run(ctx, sockets, server.Log{Logger: slog.New(slog.NewTextHandler(r.t.Output(), nil)), Lost: func() uint64 { return 1 }})
	}()
	r.t.Cleanup(func() {
		cancel()
		select {
		case <-r.stopped:
		case <-time.After(30 * time.Second):
			r.t.Error("the server does not end")
		}
	})
}

func (r *rig) decide(q *wall.Request, uid uint32) wall.Outcome {
	name := map[uint32]string{root: "root", panel: "www-data"}[uid]
	rights := &deputy.Rights{Caller: deputy.UIDCaller(uid), Name: name, Auditor: uid == root, Operator: uid == root, NamesEndUser: uid == trusted}
	if uid == reader {
		rights.Read = []deputy.Grant{{Actions: []string{"demo/echo"}, Where: map[string][]any{"target": {"shown"}}}}
	}
	if q.EndUser != "" && !rights.NamesEndUser {
		return refused(deputy.NotAllowed, "uid %d may not name an end user", uid)
	}
	switch q.Kind {
	case wall.Rights:
		return wall.Outcome{Rights: rights}
	case wall.Actions:
		if uid == stranger {
			return wall.Outcome{}
		}
		return wall.Outcome{Actions: []deputy.ActionInfo{
			{Module: "demo", Action: "echo", MaxBody: 1024}, {Module: "demo", Action: "big", MaxBody: 16 << 20},
		}}
	case wall.Reload:
		return wall.Outcome{Digest: "n3w"}
	case wall.Drain:
		return wall.Outcome{Drain: &deputy.Drain{Draining: q.On, Live: 3}}
	case wall.Upgrade:
		if uid != root {
			return refused(deputy.NotAllowed, "uid %d may not upgrade", uid)
		}
		return wall.Outcome{Upgrade: &wall.Upgraded{From: "1", To: "2"}}
	case wall.Explain, wall.Call:
		if q.Module != "demo" {
			return refused(deputy.UnknownAction, "cannot call %q/%q: there is no such module", q.Module, q.Action)
		}
		if uid == stranger {
			return refused(deputy.NotAllowed, "uid %d may not call %s/%s", uid, q.Module, q.Action)
		}
		if q.Kind == wall.Explain {
			return wall.Outcome{Explain: &deputy.Explanation{Allowed: true, Rule: "site.toml:1"}}
		}
		return r.call(q, deputy.UIDCaller(uid))
	case wall.Stop:
		receipt := &deputy.Receipt{Signalled: true, Killed: 3, TookMS: 5, Proof: "cgroup"}
		if q.Force { // this script's word for a task that outlives its kill
			receipt.Survivors = []deputy.Survivor{{PID: 7, Comm: "stuck", State: "D"}}
			return wall.Outcome{Tasks: []string{q.Task}, Survives: true, Receipt: receipt}
		}
		receipt.Empty = true
		receipt.TookMS = q.GraceMS
		r.Record(deputy.Event{Type: deputy.Ended, Task: q.Task, Attempt: 1, State: deputy.Stopped, Reason: "stopped", Receipt: receipt})
		return wall.Outcome{Tasks: []string{q.Task}}
	}
	return refused(deputy.BadRequest, "a request of kind %d", q.Kind)
}

// call makes what the params say.
func (r *rig) call(q *wall.Request, c deputy.Caller) wall.Outcome {
	if code, ok := q.Params["refuse"].(string); ok {
		e := deputy.Refuse(deputy.Code(code), "cannot call demo/echo: the test says so")
		if e.Code == deputy.Busy {
			e.Task = "01890a5d"
		}
		if e.Code == deputy.BadParam {
			e.Errors = []deputy.ParamError{{Param: "refuse", Detail: "is refused"}}
		}
		return wall.Outcome{Error: e}
	}
	if id, ok := q.Params["join"].(string); ok {
		r.Join(id, c, q.Module, q.Action)
		return wall.Outcome{Tasks: []string{id}}
	}
	if q.Params["none"] == true {
		return wall.Outcome{Tasks: []string{}}
	}
	id := r.Accept(c, q.Module, q.Action, q.Params)
	if text, ok := q.Params["print"].(string); ok {
		r.Start(id)
		r.Write(id, "stdout", text)
		r.End(id, deputy.Succeeded)
	}
	return wall.Outcome{Tasks: []string{id}, Replayed: q.Key == "again"}
}

func refused(code deputy.Code, format string, args ...any) wall.Outcome {
	return wall.Outcome{Error: deputy.Refuse(code, format, args...)}
}

// client speaks HTTP as uid, on connections that are kept alive.
func (r *rig) client(uid uint32) *http.Client {
	transport := &http.Transport{
		DialContext:         func(context.Context, string, string) (net.Conn, error) { return r.Dial(uid), nil },
		DisableCompression:  true,
		MaxIdleConnsPerHost: 1000,
	}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// sync returns once the server has applied what was recorded: an answer of the
// monitor is held back until then.
func (r *rig) sync() {
	r.t.Helper()
	c := r.client(other)
	defer c.CloseIdleConnections()
	resp, err := c.Get("http://deputy/v1/actions")
	if err != nil {
		r.t.Fatal(err)
	}
	resp.Body.Close()
}

// answer is a response that was read to its end.
type answer struct {
	*http.Response
	body string
}

// do sends one request; headers are "Name: value".
func (r *rig) do(uid uint32, method, target, body string, headers ...string) answer {
	r.t.Helper()
	req, err := http.NewRequest(method, "http://deputy"+target, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	c := r.client(uid)
	defer c.CloseIdleConnections()
	r.sync()
	resp, err := c.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, target, err)
	}
	return answer{resp, string(text)}
}

// into decodes the body, and holds the status.
func (a answer) into(t testing.TB, status int, v any) {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", a.StatusCode, status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
}

func (a answer) tasks(t testing.TB, status int) []deputy.Task {
	t.Helper()
	var list struct{ Tasks []deputy.Task }
	a.into(t, status, &list)
	return list.Tasks
}

// raw sends bytes as they are and gives the answer's, until the server closes
// or the request is answered.
func (r *rig) raw(uid uint32, text string) string {
	r.t.Helper()
	return r.rawOn(r.Dial(uid), text)
}

func (r *rig) rawOn(conn net.Conn, text string) string {
	r.t.Helper()
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	go func() { _, _ = io.WriteString(conn, text) }()
	return readAnswer(r.t, bufio.NewReader(conn))
}

func readAnswer(t testing.TB, in *bufio.Reader) string {
	t.Helper()
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("half an answer: %v", err)
	}
	text := resp.Status + "\n"
	for _, name := range []string{"Allow", "Retry-After", "Content-Type"} {
		if v := resp.Header.Get(name); v != "" {
			text += name + ": " + v + "\n"
		}
	}
	if resp.Close {
		text += "Connection: close\n"
	}
	return text + string(body)
}

// until polls for what must come to be.
func (r *rig) until(what string, done func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("still not so: %s", what)
		}
	}
}
